"""Page metrics as functions: two batches in, one float64 a page out.

The definitions are those of the reference protocol (docs/metrics): each page is scored on its
own and a table shows the mean over pages, which is not the metric of the pooled pixels.
scikit-image's definitions, faster (``color``, ``structure``; tests hold them to it); everything is computed
in float64 on the CPU, page by page, so that a value depends neither on batch size nor on the order of pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from colorflow.metrics.checks import FloatArray, as_pages
from colorflow.metrics.color import lab, mean_ciede2000
from colorflow.metrics.structure import ssim_uniform7

SsimWindow = Literal["uniform7", "gaussian11"]

SSIM_WINDOWS: tuple[SsimWindow, ...] = ("uniform7", "gaussian11")

CHROMA_PEAK = 255.0
"""Peak of chroma PSNR: the span of 8-bit a and b, -128 to 127 (our choice; Lab has no peak of its own)."""


def psnr(preds: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio on RGB, MSE over all pixels and channels of a page.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
        target: The same.

    Returns:
        ``(B,)`` float64, dB; ``inf`` for identical pages.

    Raises:
        TypeError: For integer tensors.
        ValueError: For shapes that differ or are not ``(B, 3, H, W)``, and values outside [0, 1].
    """
    return _each_page(_psnr, *as_pages(preds, target, "psnr"))


def ssim(preds: Tensor, target: Tensor, window: SsimWindow = "uniform7") -> Tensor:
    """Structural similarity on RGB, data range 1, mean over channels and pixels (Wang et al. 2004).

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
        target: The same.
        window: ``uniform7`` is scikit-image's default (flat 7 x 7, sample covariance);
            ``gaussian11`` the original one (sigma 1.5, 11 x 11, population covariance).

    Returns:
        ``(B,)`` float64 in [-1, 1]; 1 for identical pages.

    Raises:
        TypeError: For integer tensors.
        ValueError: As for ``psnr``; for an unknown window, and pages smaller than it.
    """
    if window not in SSIM_WINDOWS:
        raise ValueError(f"ssim: expected a window of {', '.join(SSIM_WINDOWS)}, got {window!r}")
    pages = as_pages(preds, target, "ssim")
    side = 7 if window == "uniform7" else 11
    if min(preds.shape[2:]) < side:
        raise ValueError(f"ssim: expected pages of at least {side} x {side} pixels, got {tuple(preds.shape[2:])}")
    return _each_page(ssim_uniform7 if window == "uniform7" else _ssim_gaussian11, *pages)


def chroma_psnr(preds: Tensor, target: Tensor) -> Tensor:
    """PSNR of the a and b channels of CIE Lab (D65), peak 255: colour alone, whatever the structure.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], sRGB.
        target: The same.

    Returns:
        ``(B,)`` float64, dB; ``inf`` for identical chroma.

    Raises:
        TypeError: For integer tensors.
        ValueError: As for ``psnr``.
    """
    return _each_page(lambda a, b: _chroma_psnr(lab(a), lab(b)), *as_pages(preds, target, "chroma_psnr"))


def ciede2000(preds: Tensor, target: Tensor) -> Tensor:
    """Mean CIEDE2000 colour difference over the pixels of a page (Sharma et al. 2005, kL = kC = kH = 1).

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], sRGB.
        target: The same.

    Returns:
        ``(B,)`` float64, 0 for identical pages; about 1 is just noticeable; lower is better.

    Raises:
        TypeError: For integer tensors.
        ValueError: As for ``psnr``.
    """
    return _each_page(lambda a, b: mean_ciede2000(lab(a), lab(b)), *as_pages(preds, target, "ciede2000"))


def page_metrics(preds: Tensor, target: Tensor, window: SsimWindow = "uniform7") -> dict[str, Tensor]:
    """All page metrics at once; equal to the single functions, with one Lab conversion a page.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], sRGB.
        target: The same.
        window: As for ``ssim``.

    Returns:
        ``psnr``, ``ssim``, ``chroma_psnr`` and ``ciede2000``, each ``(B,)`` float64.

    Raises:
        TypeError: For integer tensors.
        ValueError: As for ``ssim``.
    """
    return page_metrics_and_labs(preds, target, window)[0]


def page_metrics_and_labs(
    preds: Tensor, target: Tensor, window: SsimWindow = "uniform7"
) -> tuple[dict[str, Tensor], list[tuple[FloatArray, FloatArray]]]:
    """``page_metrics``, and the Lab pages on the way: a pair of ``(3, H, W)`` float64 a page."""
    pages = as_pages(preds, target, "page_metrics")
    labs = [(lab(a), lab(b)) for a, b in zip(*pages, strict=True)]
    values = {
        "psnr": _each_page(_psnr, *pages),
        "ssim": ssim(preds, target, window),
        "chroma_psnr": torch.tensor([_chroma_psnr(a, b) for a, b in labs], dtype=torch.float64),
        "ciede2000": torch.tensor([mean_ciede2000(a, b) for a, b in labs], dtype=torch.float64),
    }
    return values, labs


def _each_page(function: Callable[[FloatArray, FloatArray], float], preds: FloatArray, target: FloatArray) -> Tensor:
    return torch.tensor([function(a, b) for a, b in zip(preds, target, strict=True)], dtype=torch.float64)


def _decibels(mean_squared_error: float, peak: float) -> float:
    if mean_squared_error == 0:
        return float("inf")
    return float(10 * np.log10(peak**2 / mean_squared_error))


def _psnr(a: FloatArray, b: FloatArray) -> float:
    return _decibels(float(np.mean((a - b) ** 2)), 1.0)


def _chroma_psnr(lab_a: FloatArray, lab_b: FloatArray) -> float:
    return _decibels(float(np.mean((lab_a[1:] - lab_b[1:]) ** 2)), CHROMA_PEAK)


def _ssim_gaussian11(a: FloatArray, b: FloatArray) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=2, **options))
