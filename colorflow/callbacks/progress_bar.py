"""Lightning's progress bar, without its wait for the device at every step."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class ProgressBar(RichProgressBar):
    """Shows the losses of the last step that was written to the log: reading one waits for all work before it."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, Any] = {}

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Losses as numbers."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # its logger connector sets it
        if trainer.global_step % every == 0 or not trainer.training:
            self._shown = super().get_metrics(trainer, pl_module)
        return self._shown

    def _get_train_description(self, current_epoch: int) -> str:
        """Steps are counted, not epochs, whose last number would be -2."""
        return "Training  "
