"""Noising, target and loss of the in-context colorizer (paper Eq. 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor

from colorflow.diffusion.timesteps import sample_timesteps


@dataclass(frozen=True)
class DiffusionObjective:
    """What the denoiser is asked for, and at which timesteps.

    Attributes:
        mu: Timestep shift of Eq. 5 (paper: 1.5; Table 5 has 0 and 3).
        snr_gamma: Min-SNR weighting (Hang et al. 2023, Eq. 9) with this gamma; None weighs all timesteps alike.
        query_weight: Weight of the query's latents in the loss, relative to the references' 1. The paper's
            loss covers the whole crop alike: 1.
    """

    mu: float = 1.5
    snr_gamma: float | None = None
    query_weight: float = 1.0

    def timesteps(self, uniform: Tensor, scheduler: DDPMScheduler) -> Tensor:
        """``(B,)`` integer timesteps from ``(B,)`` uniform draws in [0, 1)."""
        return sample_timesteps(uniform, self.mu, scheduler.config.num_train_timesteps)

    def weights(self, scheduler: DDPMScheduler) -> Tensor:
        """``(T,)`` loss weight of each timestep: ones, or min-SNR's."""
        if self.snr_gamma is None:
            return torch.ones(scheduler.config.num_train_timesteps)
        return min_snr_weights(scheduler, self.snr_gamma)

    def pixel_weights(self, mask: Tensor) -> Tensor:
        """Loss weight ``(B, 1, h, w)`` of each latent pixel, of a mask in [0, 1] that is 0 on the query."""
        return mask.float() + self.query_weight * (1.0 - mask.float())

    def loss(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Squared error of Eq. 4, one mean a sample.

        Args:
            prediction: ``(B, C, h, w)``.
            target: ``(B, C, h, w)``.
            weight: ``(B, 1, h, w)``, of each pixel.

        Returns:
            ``(B,)`` float32.
        """
        error = (prediction.float() - target.float()).square().mean(dim=1, keepdim=True)
        return (error * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))


def regression_target(scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Epsilon or v, by the scheduler's ``prediction_type``."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    raise ValueError(f"prediction_type: expected epsilon or v_prediction, got {kind}")


def min_snr_weights(scheduler: DDPMScheduler, gamma: float) -> Tensor:
    """``(T,)`` min-SNR-gamma weights: min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v."""
    snr = compute_snr(scheduler, torch.arange(scheduler.config.num_train_timesteps))
    divisor = snr if scheduler.config.prediction_type == "epsilon" else snr + 1.0
    return snr.clamp(max=gamma) / divisor
