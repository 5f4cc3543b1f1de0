"""What every page metric asks of its two arguments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]

_TOLERANCE = 1e-6
"""Rounding that float32 arithmetic may leave outside [0, 1]; clipped away."""


def as_pages(preds: Tensor, target: Tensor, metric: str) -> tuple[FloatArray, FloatArray]:
    """Check a pair of page batches and return them channels last in float64.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
        target: The same shape and range.
        metric: Name for messages.

    Returns:
        Two ``(B, H, W, 3)`` float64 arrays in [0, 1].

    Raises:
        TypeError: For anything but floating-point tensors.
        ValueError: For another shape, shapes that differ, NaN, or values outside [0, 1].
    """
    pages = _channels_last(preds, "preds", metric), _channels_last(target, "target", metric)
    if preds.shape != target.shape:
        raise ValueError(
            f"{metric}: expected preds and target of one shape, got {tuple(preds.shape)} and {tuple(target.shape)}; "
            "resize both to the metric size by the same rule first"
        )
    return pages


def _channels_last(images: Tensor, name: str, metric: str) -> FloatArray:
    """Check one batch and return it as a ``(B, H, W, 3)`` float64 array."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"{metric}: expected {name} as a float tensor in [0, 1], got {got}; divide 8-bit pixels by 255")
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{metric}: expected {name} of shape (B, 3, H, W), got {tuple(images.shape)}")
    array = images.detach().to("cpu", torch.float64).permute(0, 2, 3, 1).numpy()
    low, high = float(array.min()), float(array.max())
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise ValueError(
            f"{metric}: expected {name} in [0, 1], got [{low:g}, {high:g}]; "
            "map [-1, 1] by x / 2 + 0.5, [0, 255] by x / 255"
        )
    clipped: FloatArray = np.clip(array, 0.0, 1.0)
    return clipped
