"""Saving the state of a run, at whole optimizer steps only."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, that does not save again the step a run was resumed from.

    It would, at the first batch after resuming; with gradient accumulation that is in the middle of a step, whose
    gradients no checkpoint holds, so that resuming once more would lose them.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the step that is saved already."""
        super().on_train_start(trainer, pl_module)
        self._started_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at the steps asked for."""
        if trainer.global_step != self._started_at:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
