"""Fixed pages, sampled with fixed noise at every validation: training one can look at."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from torchvision.utils import make_grid

from colorflow.data.datamodule import ComicDataModule
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.schema import ColorizationBatch
from colorflow.tasks.icp_task import ICPTask
from colorflow.utils.images import save_png, to_image
from colorflow.utils.seeding import generator


class SampleGrid(Callback):
    """Draw condition, result and truth of the first held-out pages.

    Args:
        folder: Pictures are written here as ``step_NNNNNNN.png`` (and to wandb, where that is a logger).
        pages: How many pages.
        num_inference_steps: UniPC steps.
    """

    def __init__(self, folder: str, pages: int = 4, num_inference_steps: int = 10) -> None:
        self.folder, self.pages = Path(folder), pages
        self.sampling = Sampling(num_inference_steps=num_inference_steps)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sample on the first process; the averaged weights are in place until `on_validation_end`."""
        data = getattr(trainer, "datamodule", None)
        if not (trainer.is_global_zero and isinstance(pl_module, ICPTask) and isinstance(data, ComicDataModule)):
            return
        if data.val_samples is None or self.pages == 0 or type(pl_module) is not ICPTask:
            return
        batch = data.validation_batch(range(min(self.pages, len(data.val_samples)))).to(pl_module.device)
        assert isinstance(batch, ColorizationBatch)
        pipeline = ICPPipeline.from_model(pl_module.model)
        pipeline.set_progress_bar_config(disable=True)
        seeds = [generator(seed, "grid") for seed in batch.seeds]
        with torch.autocast(pl_module.device.type, torch.bfloat16, enabled="bf16" in str(trainer.precision)):
            result = pipeline(batch.condition, batch.mask, self.sampling, generator=seeds)
        rows = torch.cat([batch.condition, result, batch.target]).float().cpu()
        grid = to_image(make_grid(rows, nrow=len(batch), padding=4, pad_value=1.0))
        save_png(grid, self.folder / f"step_{trainer.global_step:07d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [grid], step=trainer.global_step)
