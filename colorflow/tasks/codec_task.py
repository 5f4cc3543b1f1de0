"""Training of the toon family's codec: components are fitted, the decoder is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colorflow.metrics import chroma_psnr, psnr
from colorflow.models.base import Base, save_base
from colorflow.models.gsrp.model import upsample
from colorflow.models.toon.codec import PatchCodec
from colorflow.pipelines.export import ExportSettings
from colorflow.schema import PageBatch
from colorflow.tasks.gsrp_task import random_patches
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory, TrainableTask, validation_means
from colorflow.utils.color import LUMA
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import to_device


class CodecTask(TrainableTask):
    """Train the decoder of a `PatchCodec`; its encoder is fitted to the first batches, and then fixed.

    Args:
        base: Its codec is trained.
        optimizer: See `TrainableTask`.
        lr_scheduler: See `TrainableTask`.
        latent_noise: Standard deviation of noise on the latents, so that what a denoiser gets slightly wrong decodes.
        color_weight: Weight of the squared error of chroma beside that of RGB.
        fitted_batches: Training batches that the components are fitted to.
        heights: Page heights in pixels that pages are brought to, one drawn for every batch; validation takes all.
        patch: Side of the part of each page that a step sees; at most the width of the smallest page.
    """

    is_fitted: Tensor

    def __init__(
        self,
        base: Base,
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        latent_noise: float = 0.05,
        color_weight: float = 2.0,
        fitted_batches: int = 16,
        heights: Sequence[int] = (96, 192, 288),
        patch: int = 64,
    ) -> None:
        super().__init__(optimizer, lr_scheduler)
        if not isinstance(base.vae, PatchCodec):
            raise ValueError(f"CodecTask: expected a base with a PatchCodec, got {type(base.vae).__name__}")
        self.base = base
        self.codec: PatchCodec = base.vae
        self.latent_noise, self.color_weight, self.fitted_batches = latent_noise, color_weight, fitted_batches
        self.heights, self.patch = tuple(heights), patch
        names = [f"val/{name}_{height:03d}" for height in self.heights for name in ("psnr", "chroma_psnr")]
        self.validation_means = validation_means(["val/loss", *names])
        self.register_buffer("is_fitted", torch.tensor(False))

    def on_train_start(self) -> None:
        """Fit the components, unless they came with a checkpoint."""
        if not self.is_fitted:
            batches = iter(self.trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
            self.codec.fit(torch.cat([self.parts(next(batches)) for _ in range(self.fitted_batches)]))
            self.is_fitted.fill_(True)

    def kept_buffers(self) -> dict[str, Tensor]:
        """The components."""
        frozen: dict[str, Tensor] = {k: value for k, value in self.named_parameters() if not value.requires_grad}
        return {"is_fitted": self.is_fitted, **frozen}

    def parts(self, batch: PageBatch) -> Tensor:
        """A part of each page, all pages brought to one height: ``(B, 3, patch, patch)`` in [-1, 1]."""
        draw = torch.randint(len(self.heights), (), generator=generator(batch.seeds[0], "height"))
        pages = resized(batch.target, self.heights[int(draw)])
        return random_patches([pages], (self.patch, self.patch), batch.seeds)[0]

    def training_step(self, batch: PageBatch, batch_idx: int) -> Tensor:
        """Restore parts of pages; scalar loss."""
        images = self.parts(batch)
        latents = self.codec.encode(images).latent_dist.mean
        noise = torch.stack([torch.randn(latents.shape[1:], generator=generator(seed)) for seed in batch.seeds])
        decoded = self.codec.decode(latents + self.latent_noise * to_device(noise, self.device)).sample
        error = decoded.float() - images
        color = error - (error * error.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        loss = error.square().mean() + 0.5 * error.abs().mean() + self.color_weight * color.square().mean()
        self.log_losses({"train/loss": loss}, len(batch))
        return loss

    def validation_step(self, batch: PageBatch, batch_idx: int) -> None:
        """PSNR and chroma PSNR of held-out pages at every height."""
        for height in self.heights:
            images = resized(batch.target, height)
            decoded = self.codec(images).float().clamp(-1, 1)
            found, target = ((pages.cpu() + 1) / 2 for pages in (decoded, images))
            self.validation_means["val/loss"]((decoded - images).abs().mean((1, 2, 3)))
            for name, measure in (("psnr", psnr), ("chroma_psnr", chroma_psnr)):
                self.validation_means[f"val/{name}_{height:03d}"](measure(found, target).to(self.device, torch.float32))
        self.log_dict(dict(self.validation_means.items()))

    def export_to(self, folder: Path, settings: ExportSettings, batch: Any) -> None:
        """The base, in the layout that `weights=FOLDER` loads."""
        save_base(self.base.to(torch.float16), folder)


def resized(pages: Tensor, height: int) -> Tensor:
    """Pages ``(B, 3, H, W)`` in [-1, 1] brought to a height and a width in proportion, by Pillow's bicubic filter."""
    width = round(height * pages.shape[-1] / pages.shape[-2])
    return upsample(pages, (height, width), "bicubic")
