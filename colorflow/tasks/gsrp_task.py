"""Training of guided super-resolution: the fusion network alone (paper section 3.3).

Eq. 6 prints the black-and-white page as target; here it is the colour page (docs/deviations.md says why).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from colorflow.canvas import Size
from colorflow.metrics import psnr, ssim
from colorflow.models.gsrp.model import GSRPModel, upsample
from colorflow.pipelines.export import ExportSettings, save_gsrp
from colorflow.pipelines.icp import Sampling
from colorflow.schema import PageBatch
from colorflow.tasks.degradation import Degradation, degrade
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory, TrainableTask, validation_means
from colorflow.utils.seeding import generator

_MEASURES = ("val/loss", "val/psnr", "val/ssim", "val/psnr_gain", "val/ssim_gain")


class GSRPTask(TrainableTask):
    """Restore the colour page from its black-and-white self and a small, worse colour result.

    Args:
        model: Frozen VAE and fusion network.
        degradation: Steps that simulate ICP's output; not used on batches with a recorded one.
        lpips_weight: Weight of LPIPS (VGG) beside L1; 0 (the paper: L1) loads nothing.
        patch_size: (width, height) of the part of each page that a step sees, at a random place; None: whole pages.
            A step's cost and memory go with it. Under ``norm_mode=batch`` a part is normalized by its own statistics.
    """

    def __init__(
        self,
        model: GSRPModel,
        degradation: Sequence[Degradation],
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        lpips_weight: float = 0.0,
        patch_size: Size | None = None,
    ) -> None:
        super().__init__(optimizer, lr_scheduler)
        self.model = model
        self.degradation = tuple(degradation)
        self.lpips_weight = lpips_weight
        self.lpips = PerceptualDistance() if lpips_weight else None
        self.patch_size = patch_size
        self.validation_means = validation_means(_MEASURES)

    def training_step(self, batch: PageBatch, batch_idx: int) -> Tensor:
        """L1 on the colour page; scalar loss."""
        low_res, gray, target = self.low_res(batch), batch.gray, batch.target
        if self.patch_size is not None:
            whole = upsample(low_res, (gray.shape[-2], gray.shape[-1]), self.model.fusion.config.upsample_mode)
            low_res, gray, target = random_patches((whole, gray, target), self.patch_size, batch.seeds)
        prediction = self.model(gray, low_res).float()
        loss = l1_loss(prediction, target)
        if self.lpips is not None:
            loss = loss + self.lpips_weight * self.lpips(prediction, target)
        self.log_losses({"train/loss": loss}, len(batch))
        return loss

    def validation_step(self, batch: PageBatch, batch_idx: int) -> None:
        """L1, PSNR, SSIM, and what the last two gain over the upsampled input, on fixed pages with fixed draws."""
        low_res = self.low_res(batch)
        results = self.model(batch.gray, low_res).float().clamp(-1, 1)
        inputs = upsample(low_res, (batch.target.shape[-2], batch.target.shape[-1]))
        shown = (images.detach().cpu() for images in (results, inputs, batch.target))  # where metrics are computed
        found, before, target = (images.div(2).add(0.5).clamp(0, 1) for images in shown)
        measures = [(results - batch.target).abs().mean((1, 2, 3)), psnr(found, target), ssim(found, target)]
        measures += [measures[1] - psnr(before, target), measures[2] - ssim(before, target)]
        for name, values in zip(_MEASURES, measures, strict=True):
            self.validation_means[name](values.to(self.device, torch.float32))
        self.log_dict(dict(self.validation_means.items()))

    def low_res(self, batch: PageBatch) -> Tensor:
        """The recorded ICP result ``(B, 3, h, w)`` in [-1, 1], or a simulated one."""
        if batch.low_res is not None:
            return batch.low_res
        return degrade(batch.target, batch.seeds, self.model.vae, self.degradation)

    def preview(self, batch: PageBatch, sampling: Sampling) -> list[Tensor]:
        """Page, input, result and truth."""
        low_res = self.low_res(batch)
        shown = upsample(low_res, (batch.gray.shape[-2], batch.gray.shape[-1]))
        return [batch.gray, shown, self.model(batch.gray, low_res).clamp(-1, 1), batch.target]

    def export_to(self, folder: Path, settings: ExportSettings, batch: Any) -> None:
        """``gsrp/`` alone, or beside a copy of the colorizer that is named."""
        save_gsrp(self.model.fusion, folder, settings.colorizer, self.model.vae if self.model.own_vae else None)

    def kept_buffers(self) -> dict[str, Tensor]:
        """The running statistics of the norms, which ``norm_mode=running`` needs."""
        return {name: buffer for name, buffer in self.named_buffers() if name.startswith("model.fusion.")}


class PerceptualDistance(nn.Module):
    """LPIPS with VGG features (Zhang et al. 2018), frozen; torchmetrics' implementation.

    Raises:
        RuntimeError: If torchvision's VGG weights can be neither found nor downloaded.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        try:
            metric = LearnedPerceptualImagePatchSimilarity("vgg")
        except (OSError, RuntimeError, ValueError) as error:  # a URLError is an OSError
            raise RuntimeError(
                f"lpips_weight: expected torchvision's VGG-16 weights, could not have them ({error}); download "
                "vgg16-397923af.pth into $TORCH_HOME/hub/checkpoints on a machine with a network, or set lpips_weight=0"
            ) from error
        self.network = metric.net.requires_grad_(False).eval()  # without the metric's state

    def forward(self, preds: Tensor, target: Tensor) -> Tensor:
        """Mean distance of ``(B, 3, H, W)`` images in [-1, 1]; scalar."""
        return self.network(preds, target).mean()


def random_patches(stacks: Sequence[Tensor], size: Size, seeds: Sequence[int]) -> list[Tensor]:
    """The same part of every stack of images; sample i at a place drawn from ``seeds[i]`` alone.

    Args:
        stacks: Tensors ``(B, C, H, W)`` of one size.
        size: (width, height) of the part.
        seeds: One a sample.

    Returns:
        Tensors ``(B, C, height, width)``.

    Raises:
        ValueError: For a part larger than the images.
    """
    width, height = size
    room = stacks[0].shape[-1] - width, stacks[0].shape[-2] - height
    if min(room) < 0:
        raise ValueError(
            f"patch_size: expected at most the page's {stacks[0].shape[-1]} x {stacks[0].shape[-2]}, got {width} x "
            f"{height}; choose a smaller one, or null for whole pages"
        )
    places = []
    for seed in seeds:
        draws = torch.rand(2, generator=generator(seed, "patch"), dtype=torch.float64).tolist()
        places.append([int(draw * (free + 1)) for draw, free in zip(draws, room, strict=True)])
    return [
        torch.stack([image[:, y : y + height, x : x + width] for image, (x, y) in zip(stack, places, strict=True)])
        for stack in stacks
    ]
