"""Timestep sampling for training (paper Eq. 5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
