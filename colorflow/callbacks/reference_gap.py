"""What references are worth so far: held-out pages coloured by their own, by another chapter's, and by none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from colorflow import metrics
from colorflow.data.datamodule import ComicDataModule
from colorflow.pipelines.icp import Sampling
from colorflow.schema import ColorizationBatch
from colorflow.tasks.trainable import TrainableTask

MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"psnr": metrics.psnr, "chroma_psnr": metrics.chroma_psnr}


class ReferenceGap(Callback):
    """Log PSNR and chroma PSNR of the query at every validation, by the references it was given.

    ``val/<metric>_right``, ``_wrong`` (the references of a page of another chapter) and ``_none`` (white slots), at the
    canvas's resolution and with fixed noise; ``val/<metric>_gap`` is right minus wrong: what the model learned from
    context, and not from the chapters it saw. Nothing is logged where one chapter alone is held out.

    Args:
        pages: Held-out pages, spread over the chapters.
        num_inference_steps: UniPC steps.
    """

    def __init__(self, pages: int = 8, num_inference_steps: int = 5) -> None:
        if pages < 1:
            raise ValueError(f"ReferenceGap: expected at least one page, got {pages}")
        self.pages = pages
        self.sampling = Sampling(num_inference_steps=num_inference_steps)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Measure on the first process; the averaged weights are in place until `on_validation_end`."""
        task: TrainableTask = pl_module
        data = getattr(trainer, "datamodule", None)
        if not (
            trainer.is_global_zero and task.colors_canvases and isinstance(data, ComicDataModule) and data.val_samples
        ):
            return
        count = len(data.val_samples)
        pages = sorted({place * count // self.pages for place in range(self.pages)})
        batch = data.validation_batch(pages)
        assert isinstance(batch, ColorizationBatch)
        partners = other_chapters(batch.page_ids)
        if partners is None:
            return
        with torch.autocast(task.device.type, torch.bfloat16, enabled="bf16" in str(trainer.precision)):
            values = self._measure(task, batch, partners)
        for name in MEASURES:
            values[f"{name}_gap"] = values[f"{name}_right"] - values[f"{name}_wrong"]
        found = {f"val/{name}": value for name, value in values.items()}
        task.log_dict(found, rank_zero_only=True, sync_dist=False, batch_size=len(batch))

    def _measure(self, task: TrainableTask, batch: ColorizationBatch, partners: Sequence[int]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, condition in conditions(batch, partners).items():
            given = replace(batch, condition=condition).to(task.device)
            result = task.colorize(given, self.sampling, "gap").float().cpu()
            shown, truth = (query(canvas, batch.mask) for canvas in (result, batch.target))
            found |= {f"{key}_{name}": float(measure(shown, truth).mean()) for key, measure in MEASURES.items()}
        return found


def other_chapters(page_ids: Sequence[str]) -> list[int] | None:
    """For each page (``<chapter>/<page>``) the place of one of another chapter; None where there is one chapter."""
    chapters = [page_id.rpartition("/")[0] for page_id in page_ids]
    count, partners = len(chapters), []
    for place, chapter in enumerate(chapters):
        others = [(place + step) % count for step in range(1, count) if chapters[(place + step) % count] != chapter]
        if not others:
            return None
        partners.append(others[0])
    return partners


def conditions(batch: ColorizationBatch, partners: Sequence[int]) -> dict[str, Tensor]:
    """Condition canvases by what they refer to: ``right``, ``wrong`` and ``none``, each ``(B, 3, H, W)`` in [-1, 1]."""
    references = batch.mask >= 0.5  # the released mask has soft edges
    return {
        "right": batch.condition,
        "wrong": torch.where(references, batch.condition[list(partners)], batch.condition),
        "none": torch.where(references, torch.ones_like(batch.condition), batch.condition),
    }


def query(canvas: Tensor, mask: Tensor) -> Tensor:
    """Cut the query out of whole canvases in [-1, 1]: ``(B, 3, h, w)`` in [0, 1]."""
    inside = mask[0, 0] < 0.5
    rows, columns = inside.any(dim=1).nonzero().flatten(), inside.any(dim=0).nonzero().flatten()
    cut = canvas[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return ((cut + 1) / 2).clamp(0, 1)
