"""Write a trained base (VAE or U-Net of the toon family) in the layout that `weights=FOLDER` loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.data.datamodule import ComicDataModule
from colorflow.models.base import save_base
from colorflow.schema import ColorizationBatch
from colorflow.tasks.base_task import BaseTask, VAETask
from colorflow.tasks.codec_task import CodecTask


class ExportBase(Callback):
    """Export the base when training ends; a VAE gets the scaling factor of its latents on validation pages.

    Args:
        folder: Where to write.
        dtype: Stored precision; half of float32's size costs nothing visible.
        measured_pages: Validation pages the scaling factor is measured on.
    """

    def __init__(self, folder: str, dtype: str = "float16", measured_pages: int = 16) -> None:
        self.folder, self.dtype, self.measured_pages = Path(folder), getattr(torch, dtype), measured_pages

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fail before training where the scaling factor could not be measured after it."""
        if isinstance(pl_module, VAETask):
            _data(trainer).validation_batch([0])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write on the first process."""
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, BaseTask | VAETask | CodecTask)
        if isinstance(pl_module, VAETask):
            data = _data(trainer)
            pages = min(self.measured_pages, len(data.val_samples or ()))
            batch = data.validation_batch(range(pages))
            assert isinstance(batch, ColorizationBatch)
            pl_module.vae.register_to_config(scaling_factor=pl_module.latent_scale(batch))
        base = pl_module.base
        save_base(replace(base, vae=base.vae.to(self.dtype), unet=base.unet.to(self.dtype)), self.folder)


def _data(trainer: Trainer) -> ComicDataModule:
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, ComicDataModule)
    return data
