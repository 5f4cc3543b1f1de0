"""Writes what a task predicts, the posteriors of a batch, into the data module's cache."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.data.latents import ViewDataModule


class LatentWriter(Callback):
    """Keep every batch of a prediction over a `ViewDataModule`."""

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Write a batch."""
        _views(trainer).keep(outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish when all processes are here."""
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            _views(trainer).finish()


def _views(trainer: Trainer) -> ViewDataModule:
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, ViewDataModule)
    return data
