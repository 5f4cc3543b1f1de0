"""Names and shapes of the super-resolution's fusion network, ``MultiResNetModel.bin`` (released code 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.utils.tensors import Shapes, shapes_of

LEVELS = 5
"""Tapped features of Stable Diffusion's VAE, which both released base models have: input convolution, four blocks."""


def fusion_widths(tensors: Mapping[str, Tensor]) -> list[int]:
    """Widths of the VAE's tapped features, finest first, as the first convolution of each level tells them.

    A level that is not there gets the width of the one before it, so that the comparison names all of it.
    """
    widths: list[int] = []
    for level in range(LEVELS):
        first = tensors.get(f"two_layer_resnets.{level}.block1.conv1.weight")
        told = first.shape[1] // 2 if first is not None and first.ndim == 4 else 0
        widths.append(told or (widths[-1] if widths else 1))
    return widths


def fusion_config(widths: list[int]) -> dict[str, Any]:
    """``gsrp/config.json`` for released weights: page statistics and Pillow's bicubic, as the demo runs (5.1, 6.1)."""
    return {
        "_class_name": FusionNetwork.__name__,
        "block_out_channels": widths[1:],
        "norm_mode": "batch",
        "upsample_mode": "bicubic",
    }


def fusion(widths: list[int]) -> Shapes:
    """Tensors of ``MultiResNetModel.bin`` for a VAE whose tapped features are so wide."""
    with torch.device("meta"):
        return shapes_of(FusionNetwork(widths[1:]).state_dict())
