"""Timesteps (paper Eq. 5), target and loss (Eq. 4) of the in-context colorizer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor


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


def shift_timesteps(fraction: Tensor, mu: float) -> Tensor:
    """Eq. 5 on t / T: ``t' / T = e^mu / (e^mu + T / t - 1)``.

    Args:
        fraction: t / T in (0, 1], any shape.
        mu: Shift; 0 is the identity, larger values favour large (noisy) timesteps. Paper: 1.5.

    Returns:
        t' / T in (0, 1], same shape, dtype float64.
    """
    shift = math.exp(mu)
    return shift / (shift + 1.0 / fraction.double() - 1.0)


def sample_timesteps(uniform: Tensor, mu: float, num_train_timesteps: int = 1000) -> Tensor:
    """Discrete timesteps from uniform draws.

    Args:
        uniform: Draws in [0, 1), as ``torch.rand`` gives them; read as t / T = 1 - u in (0, 1].
        mu: See `shift_timesteps`.
        num_train_timesteps: T.

    Returns:
        Integers in [0, T - 1]: the continuous t' in (k, k + 1] belongs to step k.
    """
    shifted = shift_timesteps(1.0 - uniform.double(), mu) * num_train_timesteps
    return (torch.ceil(shifted) - 1).clamp(0, num_train_timesteps - 1).long()
