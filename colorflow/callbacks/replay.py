"""Do a step again that `NaNGuard` has stopped: ``python train.py replay=RUN_FOLDER/not_finite/step_0000123``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from colorflow.schema import Batch, ColorizationBatch, LatentBatch, PageBatch
from colorflow.tasks.trainable import TrainableTask
from colorflow.utils.devices import resolve_device

_KINDS: dict[str, type[Batch]] = {kind.__name__: kind for kind in (ColorizationBatch, LatentBatch, PageBatch)}


@dataclass(frozen=True)
class Replayed:
    """A batch, or one sample of it, once more.

    Attributes:
        page_ids: Its pages.
        loss: Its loss now.
        then: Its loss in the run; None for one sample, whose loss was not kept.
        source: What was not finite first: an input, or a module by its name; None where nothing is.
    """

    page_ids: tuple[str, ...]
    loss: float
    then: float | None
    source: str | None


def replay_step(task: TrainableTask, folder: Path, precision: str = "32-true") -> list[Replayed]:
    """Do every batch of the step again, then every sample of those whose loss is not finite.

    Args:
        task: Built as for the run; takes the step's weights.
        folder: What `NaNGuard` wrote.
        precision: The trainer's.

    Raises:
        ValueError: For a folder without a step, or of another model.
    """
    files = sorted(folder.glob("rank_*.pt"))
    if not files or not (folder / "weights.pt").is_file():
        raise ValueError(
            f"replay: expected weights.pt and rank_0.pt in {folder}, found {[path.name for path in files]}"
        )
    device = resolve_device()
    task.on_load_checkpoint({"state_dict": (weights := torch.load(folder / "weights.pt", "cpu", weights_only=True))})
    task.load_state_dict(weights, strict=False)
    task.to(device).train()
    results = []
    with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in precision):
        for path in files:
            step = torch.load(path, "cpu", weights_only=True)
            for content, then in zip(step["batches"], step["losses"], strict=True):
                results.append(_repeat(task, _batch(content).to(device), float(then)))
                if results[-1].source is not None:
                    results += [_repeat(task, sample.to(device), None) for sample in _samples(content)]
    return results


def print_replayed(results: Sequence[Replayed]) -> None:
    """Print a table of them."""
    table = Table(
        "pages", "loss", "loss in the run", "first not finite", title="the step, again; then sample by sample"
    )
    for item in results:
        then = "" if item.then is None else f"{item.then:.6g}"
        table.add_row(", ".join(item.page_ids), f"{item.loss:.6g}", then, item.source or "")
    Console().print(table)


def _repeat(task: TrainableTask, batch: Batch, then: float | None) -> Replayed:
    inputs = [name for name, value in vars(batch).items() if isinstance(value, Tensor) and not value.isfinite().all()]
    task.zero_grad()
    with _first_not_finite(task) as found:
        loss = task.training_step(batch, 0)
        assert isinstance(loss, Tensor)
        loss.backward()
    if inputs:
        found = [f"batch.{inputs[0]}"]
    elif not found and not all(p.grad.isfinite().all() for p in task.trainable().values() if p.grad is not None):
        found = ["the gradient"]
    return Replayed(batch.page_ids, float(loss), then, found[0] if found else None)


@contextmanager
def _first_not_finite(task: nn.Module) -> Iterator[list[str]]:
    """Names of modules whose output is not finite, in the order of the computation."""
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(name)

        return hook

    with ExitStack() as hooks:
        for name, module in task.named_modules():
            hooks.callback(module.register_forward_hook(look(name)).remove)
        yield found


def _batch(content: dict[str, Any]) -> Batch:
    return _KINDS[content["kind"]](**{name: value for name, value in content.items() if name != "kind"})


def _samples(content: dict[str, Any]) -> list[Batch]:
    """One batch a sample; what belongs to no sample (other samples' damage) is left out."""
    rows = len(content["page_ids"])
    parts = {name: value for name, value in content.items() if isinstance(value, Tensor | tuple) and len(value) == rows}
    return [_batch(content | {name: value[row : row + 1] for name, value in parts.items()}) for row in range(rows)]
