"""A loss or gradient that is not finite stops the run before its update, and leaves what it takes to do that again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from colorflow.schema import Batch
from colorflow.tasks.trainable import TrainableTask
from colorflow.utils.files import atomic_path


class NonFiniteLossError(RuntimeError):
    """The training loss or its gradient became NaN or infinite."""


class NaNGuard(Callback):
    """Check every step before its update, on all processes alike: their gradients are one.

    Args:
        folder: ``step_NNNNNNN/`` there gets ``weights.pt``, from before the update, and each process's batches as
            ``rank_R.pt``: what `colorflow.callbacks.replay` takes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._batches: list[Batch] = []
        self._losses: list[Tensor] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Hold on to the batches of an optimizer step."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._batches, self._losses = [], []
        self._batches.append(batch)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """And to their losses."""
        self._losses.append(loss.detach() * trainer.accumulate_grad_batches)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Stop at a loss or gradient that is not finite.

        Raises:
            NonFiniteLossError: With step, page ids, and how to do the step again.
        """
        losses = torch.stack(self._losses)
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None  # fp16: such steps are skipped
        if torch.isfinite(losses.sum() if scaled else losses.sum() + pl_module.grad_norm):
            return
        folder = self.folder / f"step_{trainer.global_step:07d}"
        write_step(folder, trainer.global_rank, pl_module, self._batches, self._losses)
        trainer.strategy.barrier("not finite")
        pages = ", ".join(page for batch in self._batches for page in batch.page_ids)
        message = (
            f"loss is {float(losses.mean())} and its gradient {float(pl_module.grad_norm)} at step "
            f"{trainer.global_step}, expected finite numbers; pages: {pages}. The step was not taken: "
            f"python train.py replay={folder} says where this comes from; then mend the pages or lower optimizer.lr, "
            "and go on with resume=RUN_FOLDER"
        )
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and trainer.is_global_zero:
                logger.experiment.alert("loss is not finite", message, level="ERROR")
        raise NonFiniteLossError(message)


def write_step(folder: Path, rank: int, task: TrainableTask, batches: list[Batch], losses: list[Tensor]) -> None:
    """Write what a step depends on beside the configuration: weights before it, and this process's batches."""
    parts: dict[str, dict[str, Any]] = {
        f"rank_{rank}.pt": {
            "batches": [{"kind": type(batch).__name__, **vars(batch)} for batch in batches],
            "losses": losses,
        }
    }
    if rank == 0:
        parts["weights.pt"] = {name: value.detach() for name, value in task.kept().items()}
    for name, content in parts.items():
        with atomic_path(folder / name) as temporary:
            torch.save(content, temporary)
