"""Pretraining of a small base's network, so that the quickstart has what the paper has: a pretrained base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from colorflow.diffusion.noise import draw_noise
from colorflow.diffusion.objective import DiffusionObjective
from colorflow.models.base import Base, save_base
from colorflow.models.conditioning import shrink_mask
from colorflow.models.icp_model import ICPModel
from colorflow.pipelines.export import ExportSettings
from colorflow.schema import ColorizationBatch
from colorflow.tasks.denoising import DenoisingTask, Drawn
from colorflow.tasks.supervision import AttentionSupervision
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import to_device


class BaseTask(DenoisingTask):
    """Train a base network as a denoiser of canvases; no guider.

    What Stable Diffusion has from its scale, a small base is shown. Comics are in colour or in black and white: so
    some canvases have their query in black and white. And other regions of an image tell about this one, gray
    values about colours: so some noisy canvases have a share of their condition (references in colour, query in
    gray) added to them, and the loss is then on the query alone. The first convolution of a new guider, a copy of
    this network, adds noisy latents and condition in the same way, so that its features mean something from the start.

    Args:
        base: Its network is trained, its VAE is frozen.
        hinted: Share of canvases with such a hint (our choice).
        gray_queries: Share of canvases with a query in black and white (our choice).
        full_hints: Hints are whole, and the loss is on the references too: a small base learns to copy by it.
        supervision: See `DenoisingTask`; of hinted canvases.
    """

    def __init__(
        self,
        base: Base,
        objective: DiffusionObjective,
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        hinted: float = 0.6,
        gray_queries: float = 0.1,
        validation_timesteps: Sequence[int] = (100, 300, 500, 700, 900),
        full_hints: bool = False,
        supervision: AttentionSupervision | None = None,
    ) -> None:
        model = ICPModel(base, guider=None)
        super().__init__(model, objective, optimizer, lr_scheduler, validation_timesteps, supervision)
        self.base = base
        self.hinted, self.gray_queries, self.full_hints = hinted, gray_queries, full_hints

    def training_step(self, batch: ColorizationBatch, batch_idx: int) -> Tensor:
        """Denoise a canvas, some with a hint; scalar loss."""
        noise = draw_noise(batch.seeds, self.model.latent_shape(batch.target), self.device)
        is_gray, is_hinted, strength = self._draw_kinds(batch.seeds)
        condition = self.model.encode(batch.condition, noise.target).float()
        latents = torch.where(is_gray > 0, condition, self.model.encode(batch.target, noise.target).float())
        mask = interpolate(batch.mask, size=latents.shape[-2:]).round()
        weight = torch.ones_like(mask) if self.full_hints else 1.0 - is_hinted * mask
        timesteps = self.objective.timesteps(noise.uniform, self.model.noise_scheduler)
        drawn = Drawn(latents, noise, mask, None, is_hinted * strength * condition, weight)
        loss = self.log_step(timesteps, self.losses(drawn, timesteps))
        return loss + self.attention_loss(batch.labels, mask, is_hinted.flatten() > 0)

    def draw(self, batch: ColorizationBatch) -> Drawn:
        """Canvases in colour without a hint, for validation."""
        noise = draw_noise(batch.seeds, self.model.latent_shape(batch.target), self.device)
        latents = self.model.encode(batch.target, noise.target).float()
        return Drawn(latents, noise, shrink_mask(self.model.vae, batch.mask))

    def export_to(self, folder: Path, settings: ExportSettings, batch: Any) -> None:
        """The base, in the layout that `weights=FOLDER` loads; half of float32's size costs nothing visible."""
        save_base(self.base.to(torch.float16), folder)

    def _draw_kinds(self, seeds: Sequence[int]) -> Tensor:
        """Is gray, is hinted (0 or 1), and strength of the hint in [0, 1): ``(3, B, 1, 1, 1)``, each from its seed."""
        draws = torch.stack([torch.rand(3, generator=generator(seed, "kinds")) for seed in seeds], dim=1)
        strength = torch.ones_like(draws[2]) if self.full_hints else draws[2]
        kinds = torch.stack([(draws[0] < self.gray_queries).float(), (draws[1] < self.hinted).float(), strength])
        return to_device(kinds[..., None, None, None], self.device)
