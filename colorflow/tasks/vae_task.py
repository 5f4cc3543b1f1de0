"""Pretraining of a small base's autoencoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from colorflow.diffusion.noise import draw_noise
from colorflow.models.base import Base, save_base
from colorflow.pipelines.export import ExportSettings
from colorflow.schema import ColorizationBatch
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory, TrainableTask, validation_means


class VAETask(TrainableTask):
    """Train a small ``AutoencoderKL`` on colour canvases: L1, again on colour alone, and a weak KL term.

    Without the second term a small model spends its first thousand steps on lines and leaves pages gray.

    Args:
        base: Its VAE is trained.
        color_weight: Weight of L1 on what differs between the channels (our choice).
        kl_weight: Weight of the KL term per latent value (our choice).
    """

    export_pages = 16

    def __init__(
        self,
        base: Base,
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        color_weight: float = 2.0,
        kl_weight: float = 1e-4,
    ) -> None:
        super().__init__(optimizer, lr_scheduler)
        self.base = base
        self.vae = base.vae.requires_grad_(True)
        self.validation_means = validation_means(["val/loss"])
        self.color_weight, self.kl_weight = color_weight, kl_weight

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
        noise = draw_noise(batch.seeds, posterior.mean.shape[1:], self.device).target
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        reconstruction = l1_loss(decoded, images)
        color = l1_loss(decoded - decoded.mean(1, keepdim=True), images - images.mean(1, keepdim=True))
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        return reconstruction + self.color_weight * color + self.kl_weight * divergence, reconstruction

    @torch.no_grad()
    def latent_scale(self, batch: ColorizationBatch) -> float:
        """``scaling_factor`` that gives latents of unit standard deviation, as for SD (Rombach et al. 2022, app. G)."""
        return float(1.0 / self.vae.encode(batch.target.to(self.device)).latent_dist.mean.std())

    def export_to(self, folder: Path, settings: ExportSettings, batch: ColorizationBatch) -> None:
        """The base, in the layout that `weights=FOLDER` loads, with the scale of its latents on held-out pages."""
        self.vae.register_to_config(scaling_factor=self.latent_scale(batch))
        save_base(self.base.to(torch.float16), folder)
