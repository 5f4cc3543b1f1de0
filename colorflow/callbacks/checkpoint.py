"""Saving the state of a run, at whole optimizer steps only, in files that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from colorflow.utils.files import atomic_path, remove_unfinished


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


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there when it is on the disk.

    Lightning 2.6 collects it in memory, writes it to the machine's folder for temporary files, and moves it: across
    file systems that is a copy, which a kill leaves torn under the checkpoint's own name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint; what a killed process left half-written there is removed.

        Raises:
            OSError: Where it cannot be written: the disk is full, a quota is used up.
        """
        target = Path(path)
        remove_unfinished(target.parent, target.suffix)
        try:
            with atomic_path(target) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch's writer turns the system's error into a RuntimeError
            raise OSError(
                f"{target}: cannot be written ({str(error).splitlines()[0]}); earlier checkpoints are whole. Make room "
                "there and go on with resume=RUN_FOLDER"
            ) from error
