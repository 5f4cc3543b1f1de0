"""Training of guided super-resolution: the fusion network alone (paper section 3.3).

Eq. 6 prints the black-and-white page as target; here it is the colour page (docs/deviations.md says why).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from colorflow.metrics.functional import psnr, ssim
from colorflow.models.gsrp import GSRPModel, upsample
from colorflow.schema import PageBatch
from colorflow.tasks.degradation import Degradation, degrade
from colorflow.tasks.perceptual import PerceptualDistance
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory, TrainableTask, validation_means

_MEASURES = ("val/loss", "val/psnr", "val/ssim", "val/psnr_gain", "val/ssim_gain")


class GSRPTask(TrainableTask):
    """Restore the colour page from its black-and-white self and a small, worse colour result.

    Args:
        model: Frozen VAE and fusion network.
        degradation: Steps that simulate ICP's output; not used on batches with a recorded one.
        optimizer: See `TrainableTask`.
        lr_scheduler: See `TrainableTask`.
        lpips_weight: Weight of LPIPS (VGG) beside L1; 0 (the paper: L1) loads nothing.
    """

    def __init__(
        self,
        model: GSRPModel,
        degradation: Sequence[Degradation],
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        lpips_weight: float = 0.0,
    ) -> None:
        super().__init__(optimizer, lr_scheduler)
        self.model = model
        self.degradation = tuple(degradation)
        self.lpips_weight = lpips_weight
        self.lpips = PerceptualDistance() if lpips_weight else None
        self.validation_means = validation_means(_MEASURES)

    def training_step(self, batch: PageBatch, batch_idx: int) -> Tensor:
        """L1 on the colour page; scalar loss."""
        prediction = self.model(batch.gray, self.low_res(batch)).float()
        loss = l1_loss(prediction, batch.target)
        if self.lpips is not None:
            loss = loss + self.lpips_weight * self.lpips(prediction, batch.target)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch), sync_dist=True)
        return loss

    def validation_step(self, batch: PageBatch, batch_idx: int) -> None:
        """L1, PSNR, SSIM, and what the last two gain over the upsampled input, on fixed pages with fixed draws."""
        low_res = self.low_res(batch)
        results = self.model(batch.gray, low_res).float().clamp(-1, 1)
        inputs = upsample(low_res, (batch.target.shape[-2], batch.target.shape[-1]))
        found, before, target = (_unit(images) for images in (results, inputs, batch.target))
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

    def kept_buffers(self) -> dict[str, Tensor]:
        """The running statistics of the norms, which ``norm_mode=running`` needs."""
        return {name: buffer for name, buffer in self.named_buffers() if name.startswith("model.fusion.")}


def _unit(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], on the CPU, where metrics are computed."""
    return images.detach().cpu().div(2).add(0.5).clamp(0, 1)
