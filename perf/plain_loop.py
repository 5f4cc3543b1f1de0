"""The training loop that `perf/training.py` compares with: what a first script looks like."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from step_clock import StepClock
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from colorflow import config
from colorflow.canvas import canvas_size
from colorflow.data.dataset import PositionDataset
from colorflow.data.sampler import StepSampler
from colorflow.data.transforms import WHOLE_CANVAS, CanvasTransform, collate
from colorflow.diffusion.objective import regression_target
from colorflow.models.conditioning import condition_images, join_condition, latent_size, shrink_mask
from colorflow.schema import ColorizationBatch


class Plain:
    """The usual script: float32 weights, whole canvases encoded in every step, AdamW unfused, a look at each loss."""

    def __init__(self, cfg: DictConfig, device: torch.device) -> None:
        self.model, self.device = config.build(cfg.task).model, device
        self.bf16, self.size = "bf16" in str(cfg.trainer.precision), cfg.data.datamodule.global_batch_size
        data = config.build(cfg.data.datamodule)
        data.setup("fit")
        window, page = data.transform, data.transform.page_size
        self.cut = latent_size(self.model.vae, *window.train_size[::-1])
        canvases = CanvasTransform(page, canvas_size(page), window.style, WHOLE_CANVAS)
        self.samples, self.workers = PositionDataset(data.train_samples, canvases, data.seed), data.num_workers

    def run(self, clock: StepClock) -> None:
        """Train for as many steps as the clock wants."""
        self.model.to(self.device).train()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-5, foreach=False, fused=False)
        sampler, workers = StepSampler(len(self.samples), self.size, 0), self.workers
        loader = DataLoader(self.samples, batch_sampler=sampler, num_workers=workers, collate_fn=collate)  # type: ignore[arg-type]
        batches = clock.batches(loader)
        for step in range(clock.total):
            loss = self.loss(next(batches).to(self.device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()  # for the progress bar
            clock.after(step + 1)
        self.model.to("cpu")

    def loss(self, batch: ColorizationBatch) -> Tensor:
        """Eq. 4, drawing everything from torch's global generator."""
        model, scheduler = self.model, self.model.noise_scheduler
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            images = condition_images(model.vae, batch.condition, batch.mask, model.guider.conditioning_channels)
            latents, *condition = [self.encode(canvas) for canvas in (batch.target, *images)]
            noise = torch.randn_like(latents)
            timesteps = torch.randint(0, 1000, (len(latents),), device=self.device)
            noisy = scheduler.add_noise(latents, noise, timesteps)
            mask = self.window(shrink_mask(model.vae, batch.mask))
            prediction = model(noisy, timesteps, join_condition(condition, mask))
        return mse_loss(prediction.float(), regression_target(scheduler, latents, noise, timesteps).float())

    def encode(self, canvas: Tensor) -> Tensor:
        """Latents of the window in the middle of a canvas."""
        with torch.no_grad():
            latents = self.model.vae.encode(canvas).latent_dist.sample() * self.model.vae.config.scaling_factor
        return self.window(latents)

    def window(self, latents: Tensor) -> Tensor:
        """The part in the middle that has the size of a training window."""
        height, width = self.cut
        top, left = (latents.shape[-2] - height) // 2, (latents.shape[-1] - width) // 2
        return latents[..., top : top + height, left : left + width]

    def flops(self) -> int:
        """Of a sample, forward and backward."""
        batch = collate([self.samples[0, 0]]).to(self.device)
        self.model.to(self.device)
        with FlopCounterMode(display=False) as counter:
            self.loss(batch).backward()
        self.model.to("cpu").zero_grad()
        return counter.get_total_flops()
