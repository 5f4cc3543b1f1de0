"""Writes what a task predicts, the posteriors of a batch, into the data module's cache."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule
from lightning.pytorch.callbacks import Callback


class LatentWriter(Callback):
    """Keep every batch of a prediction over a `colorflow.data.latents.ViewDataModule`."""

    def on_predict_batch_end(
        self, trainer: Any, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Write a batch."""
        trainer.datamodule.keep(outputs)

    def on_predict_end(self, trainer: Any, pl_module: LightningModule) -> None:
        """Finish when all processes are here."""
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            trainer.datamodule.finish()
