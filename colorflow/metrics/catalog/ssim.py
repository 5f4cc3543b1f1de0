"""Structural similarity (Wang et al. 2004) by scikit-image's definitions; its flat window several times faster."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from skimage.metrics import structural_similarity

from colorflow.metrics.color import FloatArray
from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import MetricSpec

SsimWindow = Literal["uniform7", "gaussian11"]

WINDOW = 7

_C1, _C2 = 0.01**2, 0.03**2
"""Wang et al. 2004, K1 and K2, for a data range of 1."""

_ROWS = 58
"""Rows of windows worked on at a time: with the six rows that windows reach further, they fit the cache."""


def ssim(pair: PagePair, ssim_window: SsimWindow = "uniform7") -> float:
    """SSIM on RGB, data range 1, mean over channels and whole windows.

    Args:
        pair: A page and its truth.
        ssim_window: ``uniform7`` is scikit-image's default (flat 7 x 7, sample covariance); ``gaussian11`` the
            original one (sigma 1.5, 11 x 11, population covariance).

    Returns:
        In [-1, 1]; 1 for identical pages.

    Raises:
        ValueError: For an unknown window, and pages smaller than it.
    """
    check_window(ssim_window)
    side = 7 if ssim_window == "uniform7" else 11
    if min(size := pair.pred.shape[:2]) < side:
        raise ValueError(f"ssim: expected pages of at least {side} x {side} pixels, got {size}")
    return (ssim_uniform7 if ssim_window == "uniform7" else _ssim_gaussian11)(pair.pred, pair.target)


def check_window(window: str) -> None:
    """Refuse an unknown window.

    Raises:
        ValueError: With those there are.
    """
    if window not in get_args(SsimWindow):
        raise ValueError(f"ssim_window: expected one of {', '.join(get_args(SsimWindow))}, got {window!r}")


def ssim_uniform7(first: FloatArray, second: FloatArray) -> float:
    """Mean SSIM over all whole 7 x 7 windows and channels, sample (N - 1) covariance.

    Args:
        first: ``(H, W, 3)`` float64 in [0, 1], sides of at least 7.
        second: The same.
    """
    rows, columns, channels = first.shape
    total, windows = 0.0, rows - WINDOW + 1
    for channel in range(channels):
        for top in range(0, windows, _ROWS):
            strip = slice(top, min(top + _ROWS, windows) + WINDOW - 1)
            total += _ssim_sum(first[strip, :, channel], second[strip, :, channel])
    return total / (windows * (columns - WINDOW + 1) * channels)


def _ssim_sum(x: FloatArray, y: FloatArray) -> float:
    """Sum of SSIM over the whole windows of two (H, W) planes."""
    count = WINDOW * WINDOW
    mean_x, mean_y = _window_sums(x) / count, _window_sums(y) / count
    squares, product = _window_sums(x * x + y * y), mean_x * mean_y
    mean_squares = mean_x * mean_x + mean_y * mean_y
    variances = (squares - count * mean_squares) / (count - 1)
    covariance = (_window_sums(x * y) - count * product) / (count - 1)
    top = (2 * product + _C1) * (2 * covariance + _C2)
    return float(np.sum(top / ((mean_squares + _C1) * (variances + _C2))))


def _window_sums(plane: FloatArray) -> FloatArray:
    """Sums of all whole 7 x 7 windows of a (H, W) plane: 7 = 4 + 2 + 1, along one side, then the other."""
    two = plane[:-1] + plane[1:]
    seven = two[:-5] + two[2:-3] + two[4:-1] + plane[6:]
    two = seven[:, :-1] + seven[:, 1:]
    return two[:, :-5] + two[:, 2:-3] + two[:, 4:-1] + seven[:, 6:]


def _ssim_gaussian11(a: FloatArray, b: FloatArray) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=2, **options))


SPEC = MetricSpec(
    key="ssim",
    label="SSIM",
    decimals=4,
    higher_is_better=True,
    place=5,
    definition="scikit-image structural_similarity on RGB, data range 1; mean over pages",
    sees="pair",
    function=ssim,
    options=("ssim_window",),
)
