"""Pretraining of the toon family's base, so that the quickstart has what the paper has: a pretrained base."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, l1_loss

from colorflow.diffusion.noise import SampleNoise, draw_noise
from colorflow.diffusion.objective import DiffusionObjective, regression_target
from colorflow.models.base import BaseModel
from colorflow.models.guider import ColorizationGuider
from colorflow.models.icp_model import ICPModel
from colorflow.models.unet_trunk import unet_with_residuals
from colorflow.schema import ColorizationBatch
from colorflow.tasks.icp_task import ICPTask
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory, TrainableTask, validation_means
from colorflow.utils.seeding import generator


class VAETask(TrainableTask):
    """Train a small ``AutoencoderKL`` on colour canvases: L1, again on colour alone, and a weak KL term.

    Without the second term a small model spends its first thousand steps on lines and leaves pages gray.

    Args:
        base: Its VAE is trained.
        optimizer: See `TrainableTask`.
        lr_scheduler: See `TrainableTask`.
        colour_weight: Weight of L1 on what differs between the channels (our choice).
        kl_weight: Weight of the KL term per latent value (our choice).
    """

    def __init__(
        self,
        base: BaseModel,
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        colour_weight: float = 2.0,
        kl_weight: float = 1e-4,
    ) -> None:
        super().__init__(optimizer, lr_scheduler)
        self.base = base
        self.vae = base.vae.requires_grad_(True)
        self.validation_means = validation_means(["val/loss"])
        self.colour_weight, self.kl_weight = colour_weight, kl_weight

    def training_step(self, batch: ColorizationBatch, batch_idx: int) -> Tensor:
        """Reconstruct the target window; scalar loss."""
        loss, reconstruction = self._loss(batch)
        losses = {"train/loss": loss, "train/l1": reconstruction}
        self.log_dict(losses, prog_bar=True, batch_size=len(batch), sync_dist=True)
        return loss

    def validation_step(self, batch: ColorizationBatch, batch_idx: int) -> None:
        """L1 on held-out canvases."""
        self.validation_means["val/loss"](self._loss(batch)[1], len(batch))
        self.log_dict(dict(self.validation_means.items()))

    def _loss(self, batch: ColorizationBatch) -> tuple[Tensor, Tensor]:
        images = batch.target
        posterior = self.vae.encode(images).latent_dist
        shape = posterior.mean.shape[1:]
        noise = draw_noise(batch.seeds, (shape[0], shape[1], shape[2]), self.device).target
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        reconstruction = l1_loss(decoded, images)
        colour = l1_loss(decoded - decoded.mean(1, keepdim=True), images - images.mean(1, keepdim=True))
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        return reconstruction + self.colour_weight * colour + self.kl_weight * divergence, reconstruction

    @torch.no_grad()
    def latent_scale(self, batch: ColorizationBatch) -> float:
        """``scaling_factor`` that gives latents of unit standard deviation, as for SD (Rombach et al. 2022, app. G)."""
        return float(1.0 / self.vae.encode(batch.target.to(self.device)).latent_dist.mean.std())


class BaseTask(ICPTask):
    """Train the base U-Net as an unconditional denoiser of canvases; no guider, no condition.

    What Stable Diffusion has from its scale, a small base is shown: other regions of an image tell about this
    one, and comics are in colour or in black and white. So some canvases carry less noise on the references
    than on the query (the loss is then on the query alone), and some have their query in black and white.

    Args:
        base: Its U-Net is trained, its VAE is frozen.
        objective: See `ICPTask`.
        optimizer: See `TrainableTask`.
        lr_scheduler: See `TrainableTask`.
        clearer_references: Share of canvases whose references carry less noise (our choice).
        gray_queries: Share of canvases with a query in black and white (our choice).
        validation_timesteps: See `ICPTask`.
    """

    def __init__(
        self,
        base: BaseModel,
        objective: DiffusionObjective,
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        clearer_references: float = 0.5,
        gray_queries: float = 0.25,
        validation_timesteps: Sequence[int] = (100, 300, 500, 700, 900),
    ) -> None:
        idle = ColorizationGuider.from_unet(base.unet, base.unet.config.in_channels + 1).requires_grad_(False)
        super().__init__(ICPModel(base, idle), objective, optimizer, lr_scheduler, validation_timesteps)
        self.base = base
        self.clearer_references, self.gray_queries = clearer_references, gray_queries

    def training_step(self, batch: ColorizationBatch, batch_idx: int) -> Tensor:
        """Denoise a canvas whose regions may differ in noise; scalar loss."""
        noise = draw_noise(batch.seeds, self.model.latent_shape(batch.target), self.device)
        clearer, share, gray = self._draw_regions(batch.seeds)
        images = torch.where((gray < self.gray_queries)[:, None, None, None], batch.condition, batch.target)
        latents = self.model.encode(images, noise.target).float()
        references = interpolate(batch.mask, size=latents.shape[-2:]).round()
        timesteps = self.objective.timesteps(noise.uniform, self.model.noise_scheduler)
        uneven = clearer < self.clearer_references
        less = torch.where(uneven, (timesteps * share).long(), timesteps)
        add_noise = self.model.noise_scheduler.add_noise
        noisy_latents = torch.where(
            references > 0, add_noise(latents, noise.noise, less), add_noise(latents, noise.noise, timesteps)
        )
        target = regression_target(self.model.noise_scheduler, latents, noise.noise, timesteps)
        error = (self.predict(noisy_latents, timesteps, batch, noise) - target).square().mean(1, keepdim=True)
        weight = 1.0 - references * uneven[:, None, None, None]
        loss = ((error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch), sync_dist=True)
        return loss

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, batch: ColorizationBatch, noise: SampleNoise) -> Tensor:
        """The bare U-Net's answer ``(B, C, h, w)``."""
        embeds = self.model.prompt_embeds.expand(len(noisy_latents), -1, -1)
        return unet_with_residuals(self.model.unet, noisy_latents, timesteps, embeds)

    def _draw_regions(self, seeds: Sequence[int]) -> Tensor:
        """Three uniform draws a sample, ``(3, B)``, from its own seed."""
        return torch.stack([torch.rand(3, generator=generator(seed, "regions")) for seed in seeds], 1).to(self.device)
