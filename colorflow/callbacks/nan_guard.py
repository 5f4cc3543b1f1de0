"""A loss that is not a number stops the run, with the pages that gave it."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.schema import ColorizationBatch


class NonFiniteLossError(RuntimeError):
    """The training loss became NaN or infinite."""


class NaNGuard(Callback):
    """Check the loss of every batch before its weights can reach a checkpoint."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: ColorizationBatch, batch_idx: int
    ) -> None:
        """Stop on a loss that is not finite.

        Raises:
            NonFiniteLossError: With step and page ids.
        """
        if not torch.isfinite(outputs["loss"]):
            raise NonFiniteLossError(
                f"loss is {float(outputs['loss'])} at step {trainer.global_step}, expected a finite number; pages: "
                f"{', '.join(batch.page_ids)}. Nothing was saved since the last checkpoint; look at these pages, or "
                "lower optimizer.lr and go on with resume=RUN_FOLDER"
            )
