"""Fixed pages, sampled with fixed noise at every validation: training one can look at."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor
from torchvision.utils import make_grid

from colorflow.data.datamodule import ComicDataModule
from colorflow.models.gsrp.model import upsample
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.schema import Batch, ColorizationBatch, PageBatch
from colorflow.tasks.gsrp_task import GSRPTask
from colorflow.tasks.icp_task import ICPTask
from colorflow.utils.images import save_png, to_image
from colorflow.utils.seeding import generator


class SampleGrid(Callback):
    """Draw condition, result and truth of the first held-out pages (GSRP: page, input, result, truth).

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
        if not (
            trainer.is_global_zero and type(pl_module) in (ICPTask, GSRPTask) and isinstance(data, ComicDataModule)
        ):
            return
        if data.val_samples is None or self.pages == 0:
            return
        batch = data.validation_batch(range(min(self.pages, len(data.val_samples)))).to(pl_module.device)
        with torch.autocast(pl_module.device.type, torch.bfloat16, enabled="bf16" in str(trainer.precision)):
            rows = self._rows(pl_module, batch)
        grid = to_image(make_grid(torch.cat(rows).float().cpu(), nrow=len(batch), padding=4, pad_value=1.0))
        save_png(grid, self.folder / f"step_{trainer.global_step:07d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [grid], step=trainer.global_step)

    def _rows(self, task: LightningModule, batch: Batch) -> list[Tensor]:
        """Rows of the grid, each ``(B, 3, H, W)`` in [-1, 1]."""
        if isinstance(task, GSRPTask) and isinstance(batch, PageBatch):
            low_res = task.low_res(batch)
            shown = upsample(low_res, (batch.gray.shape[-2], batch.gray.shape[-1]))
            return [batch.gray, shown, task.model(batch.gray, low_res).clamp(-1, 1), batch.target]
        assert isinstance(task, ICPTask)
        assert isinstance(batch, ColorizationBatch)
        pipeline = ICPPipeline.from_model(task.model)
        pipeline.set_progress_bar_config(disable=True)
        seeds = [generator(seed, "grid") for seed in batch.seeds]
        result = pipeline(batch.condition, batch.mask, self.sampling, generator=seeds)
        return [batch.condition, result, batch.target]
