"""Fixed pages, sampled with fixed noise at every validation: training one can look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from torchvision.utils import make_grid

from colorflow.data.datamodule import ComicDataModule
from colorflow.pipelines.icp import Sampling
from colorflow.tasks.trainable import TrainableTask
from colorflow.utils.images import save_png, to_image


class SampleGrid(Callback):
    """Draw condition, result and truth of the first held-out pages (GSRP: page, input, result, truth).

    Args:
        folder: Pictures are written here as ``step_NNNNNNN.png`` (and to wandb, where that is a logger).
        pages: How many pages.
        num_inference_steps: Steps of the solver.
    """

    def __init__(self, folder: str, pages: int = 4, num_inference_steps: int = 10) -> None:
        self.folder, self.pages = Path(folder), pages
        self.sampling = Sampling(num_inference_steps=num_inference_steps)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draw on the first process; the averaged weights are in place until `on_validation_end`."""
        task: TrainableTask = pl_module
        data = getattr(trainer, "datamodule", None)
        if not (trainer.is_global_zero and isinstance(data, ComicDataModule) and data.val_samples and self.pages):
            return
        batch = data.validation_batch(range(min(self.pages, len(data.val_samples)))).to(task.device)
        with torch.autocast(task.device.type, torch.bfloat16, enabled="bf16" in str(trainer.precision)):
            rows = task.preview(batch, self.sampling)
        if not rows:
            return
        grid = to_image(make_grid(torch.cat(rows).float().cpu(), nrow=len(batch), padding=4, pad_value=1.0))
        save_png(grid, self.folder / f"step_{trainer.global_step:07d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [grid], step=trainer.global_step)
