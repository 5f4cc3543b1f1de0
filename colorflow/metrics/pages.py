"""A page beside its truth, as metrics of pixels see it, and what every metric asks of its two arguments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorflow.metrics.color import FloatArray, lab

_TOLERANCE = 1e-6
"""Rounding that float32 arithmetic may leave outside [0, 1]; clipped away."""


@dataclass(frozen=True, eq=False)
class PagePair:
    """A page and its truth.

    Attributes:
        pred: ``(H, W, 3)`` float64 in [0, 1], sRGB.
        target: The same.
        parts: Of a generated page, its picture of parts (`colorflow.toon.ToonPage.parts`) at the same size.
    """

    pred: FloatArray
    target: FloatArray
    parts: Image.Image | None = None

    @classmethod
    def of(cls, prediction: Image.Image, truth: Image.Image, parts: Image.Image | None = None) -> PagePair:
        """Of two 8-bit RGB pictures of one size: levels / 255; parts of any size."""
        shown = None if parts is None else parts.resize(truth.size, Image.Resampling.NEAREST)
        pred, target = (np.asarray(image, dtype=np.float64) / 255 for image in (prediction, truth))
        return cls(pred, target, shown)

    @cached_property
    def labs(self) -> tuple[FloatArray, FloatArray]:
        """Both in CIE Lab, ``(3, H, W)`` float64, as `colorflow.metrics.color.lab` gives them; made once."""
        return lab(self.pred), lab(self.target)


def page_pairs(preds: Tensor, target: Tensor, metric: str) -> list[PagePair]:
    """Check a pair of page batches and part them into pages.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
        target: The same shape and range.
        metric: Name for messages.

    Raises:
        TypeError: For anything but floating-point tensors.
        ValueError: For another shape, shapes that differ, NaN, or values outside [0, 1].
    """
    pages = _channels_last(preds, "preds", metric), _channels_last(target, "target", metric)
    check_shapes(preds, target, metric)
    return [PagePair(a, b) for a, b in zip(*pages, strict=True)]


def check_shapes(preds: Tensor, target: Tensor, metric: str) -> None:
    """Refuse batches of two shapes.

    Raises:
        ValueError: With both.
    """
    if preds.shape != target.shape:
        raise ValueError(
            f"{metric}: expected preds and target of one shape, got {tuple(preds.shape)} and {tuple(target.shape)}; "
            "resize both to the metric size by the same rule first"
        )


def check_pages(images: Tensor, metric: str, name: str = "pages", tolerance: float = 0.0) -> None:
    """Refuse what is no batch of pages.

    Args:
        images: ``(B, 3, H, W)`` float in [0, 1].
        metric: For messages.
        name: For messages.
        tolerance: How far outside [0, 1] will do.

    Raises:
        TypeError: For anything but floating-point tensors.
        ValueError: For another shape, NaN, or values outside [0, 1].
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"{metric}: expected {name} as a float tensor in [0, 1], got {got}; divide 8-bit pixels by 255")
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{metric}: expected {name} of shape (B, 3, H, W), got {tuple(images.shape)}")
    low, high = float(images.min()), float(images.max())
    if not (low >= -tolerance and high <= 1 + tolerance):
        raise ValueError(
            f"{metric}: expected {name} in [0, 1], got [{low:g}, {high:g}]; "
            "map [-1, 1] by x / 2 + 0.5, [0, 255] by x / 255"
        )


def _channels_last(images: Tensor, name: str, metric: str) -> FloatArray:
    """Check one batch and return it as a ``(B, H, W, 3)`` float64 array."""
    check_pages(images, metric, name, _TOLERANCE)
    array = images.detach().to("cpu", torch.float64).permute(0, 2, 3, 1).numpy()
    return np.clip(array, 0.0, 1.0)
