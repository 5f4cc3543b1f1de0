"""Names and shapes of the super-resolution's fusion network, ``MultiResNetModel.bin`` (released code 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from colorflow.checkpoints.tensors import Shapes

LEVELS = 5
"""Tapped features of Stable Diffusion's VAE, which both released base models have: input convolution, four blocks."""

_CLASS = "FusionNetwork"


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
        "_class_name": _CLASS,
        "block_out_channels": widths[1:],
        "norm_mode": "batch",
        "upsample_mode": "bicubic",
    }


def fusion(widths: list[int]) -> Shapes:
    """Tensors of ``MultiResNetModel.bin`` (released code 5.3).

    Args:
        widths: Of the VAE's tapped features, ``[128, 128, 256, 512, 512]`` for Stable Diffusion's; level i takes the
            features of two images, ``2 widths[i]`` channels, and gives ``widths[min(i + 2, last)]``.
    """
    shapes: Shapes = {}
    for level, width in enumerate(widths):
        inside, outside = 2 * width, widths[min(level + 2, len(widths) - 1)]
        for block in range(1, 5):
            name = f"two_layer_resnets.{level}.block{block}"
            shapes |= {
                f"{name}.conv1.weight": (outside, inside, 3, 3),
                f"{name}.conv2.weight": (outside, outside, 3, 3),
            }
            norms = ["bn1", "bn2"]
            if inside != outside:
                shapes[f"{name}.shortcut.0.weight"] = (outside, inside, 1, 1)
                norms.append("shortcut.1")
            for norm in norms:
                kinds = ("weight", "bias", "running_mean", "running_var")
                shapes |= {f"{name}.{norm}.{kind}": (outside,) for kind in kinds}
                shapes[f"{name}.{norm}.num_batches_tracked"] = ()
            inside = outside
    return shapes
