"""Pretraining of the toon family's base, so that the quickstart has what the paper has: a pretrained base."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, l1_loss

from colorflow.diffusion.noise import SampleNoise, draw_noise
from colorflow.diffusion.objective import DiffusionObjective, regression_target
from colorflow.models.base import BaseModel
from colorflow.models.icp_model import ICPModel
from colorflow.models.sd.guider import ColorizationGuider
from colorflow.models.sd.trunk import unet_with_residuals
from colorflow.schema import ColorizationBatch, LatentBatch
from colorflow.tasks.icp_task import ICPTask
from colorflow.tasks.supervision import AttentionSupervision
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory, TrainableTask, validation_means
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import to_device


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
        self.log_losses({"train/loss": loss, "train/l1": reconstruction}, len(batch))
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
    """Train the base U-Net as a denoiser of canvases; no guider.

    What Stable Diffusion has from its scale, a small base is shown. Comics are in colour or in black and white: so
    some canvases have their query in black and white. And other regions of an image tell about this one, gray
    values about colours: so some noisy canvases have a share of their condition (references in colour, query in
    gray) added to them, and the loss is then on the query alone. The first convolution of a new guider, a copy of
    this U-Net, adds noisy latents and condition in the same way, so that its features mean something from the start.

    Args:
        base: Its U-Net is trained, its VAE is frozen.
        objective: See `ICPTask`.
        optimizer: See `TrainableTask`.
        lr_scheduler: See `TrainableTask`.
        hinted: Share of canvases with such a hint (our choice).
        gray_queries: Share of canvases with a query in black and white (our choice).
        validation_timesteps: See `ICPTask`.
        full_hints: Hints are whole, and the loss is on the references too: a small base learns to copy by it.
        supervision: Tells the U-Net's attention where to look, on hinted canvases with labels.
    """

    def __init__(
        self,
        base: BaseModel,
        objective: DiffusionObjective,
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        hinted: float = 0.6,
        gray_queries: float = 0.1,
        validation_timesteps: Sequence[int] = (100, 300, 500, 700, 900),
        full_hints: bool = False,
        supervision: AttentionSupervision | None = None,
    ) -> None:
        idle = ColorizationGuider.from_unet(base.unet, base.unet.config.in_channels + 1).requires_grad_(False)
        super().__init__(ICPModel(base, idle), objective, optimizer, lr_scheduler, validation_timesteps)
        self.base = base
        self.hinted, self.gray_queries, self.full_hints = hinted, gray_queries, full_hints
        self.supervision = supervision
        if supervision is not None:
            supervision.watch(base.unet)

    def training_step(  # type: ignore[override]  # `encoder_key` refuses latents
        self, batch: ColorizationBatch, batch_idx: int
    ) -> Tensor:
        """Denoise a canvas, some with a hint; scalar loss."""
        noise = draw_noise(batch.seeds, self.model.latent_shape(batch.target), self.device)
        scheduler = self.model.noise_scheduler
        is_gray, is_hinted, strength = self._draw_kinds(batch.seeds)
        condition = self.model.encode(batch.condition, noise.target).float()
        latents = torch.where(is_gray > 0, condition, self.model.encode(batch.target, noise.target).float())
        timesteps = self.objective.timesteps(noise.uniform, scheduler)
        noisy_latents = scheduler.add_noise(latents, noise.noise, timesteps) + is_hinted * strength * condition
        target = regression_target(scheduler, latents, noise.noise, timesteps)
        error = (self.predict(noisy_latents, timesteps, batch, noise) - target).square().mean(1, keepdim=True)
        mask = interpolate(batch.mask, size=latents.shape[-2:]).round()
        weight = torch.ones_like(mask) if self.full_hints else 1.0 - is_hinted * mask
        loss = ((error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()
        self.log_losses({"train/loss": loss}, len(batch))
        if self.supervision is None or batch.labels is None:
            return loss
        attention, mass = self.supervision.loss(batch.labels, mask, is_hinted.flatten() > 0)
        self.log_losses({"train/attention": attention, "train/attention_mass": mass}, len(batch))
        return loss + self.supervision.weight(self.global_step) * attention

    def encoder_key(self, precision: str) -> str:
        """Refused: hints and gray queries are made of pictures.

        Raises:
            ValueError: Always.
        """
        raise ValueError("data.latents: this task trains on pictures, not on cached latents; set data.latents=null")

    def predict(
        self, noisy_latents: Tensor, timesteps: Tensor, batch: ColorizationBatch | LatentBatch, noise: SampleNoise
    ) -> Tensor:
        """The bare U-Net's answer ``(B, C, h, w)``."""
        embeds = self.model.prompt_embeds.expand(len(noisy_latents), -1, -1)
        return unet_with_residuals(self.model.unet, noisy_latents, timesteps, embeds)

    def _draw_kinds(self, seeds: Sequence[int]) -> Tensor:
        """Is gray, is hinted (0 or 1), and strength of the hint in [0, 1): ``(3, B, 1, 1, 1)``, each from its seed."""
        draws = torch.stack([torch.rand(3, generator=generator(seed, "kinds")) for seed in seeds], dim=1)
        kinds = torch.stack([(draws[0] < self.gray_queries).float(), (draws[1] < self.hinted).float(), draws[2]])
        if self.full_hints:
            kinds[2] = 1.0
        return to_device(kinds[..., None, None, None], self.device)
