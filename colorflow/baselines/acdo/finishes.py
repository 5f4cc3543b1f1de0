"""How a prediction and its page become the result, in integers as the released code computes them.

``yuv`` (its ``post_process=True``) keeps the page's luminance; ``blend`` (``False``) darkens the prediction and
mixes it with a softened page.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_HALF = 1 << 13
_CHROMA_ZERO = 128 << 14
_BLUR = np.array([14, 62, 104, 62, 14])
"""Gaussian of 5 pixels, sigma 1, in 256ths."""

DARKEN, BRIGHTEN = 1.7, 0.9
"""Exponents for the prediction and for the mixture."""


def keep_luminance(page: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Take luminance from the page and colour from the prediction.

    Args:
        page: ``(H, W, 3)`` uint8 RGB.
        prediction: The same shape.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    return _from_yuv(_luma(page.astype(np.int64)), *_chroma(prediction.astype(np.int64)))


def blend(page: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Darken the prediction, mix it half and half with the softened page, brighten the mixture.

    Args:
        page: ``(H, W, 3)`` uint8 RGB.
        prediction: The same shape.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    soft = np.rint(0.75 * page + 0.25 * _blur(page))
    mixed = np.rint(0.5 * soft + 0.5 * gamma_levels(DARKEN)[prediction])
    return gamma_levels(BRIGHTEN)[mixed.astype(np.uint8)]


def gamma_levels(exponent: float) -> np.ndarray:
    """``(256,)`` uint8: levels under a power; cut off below the point, 255 becomes 254 (released)."""
    return (np.power(np.arange(256, dtype=np.float64), exponent) * 255 ** (1 - exponent)).astype(np.uint8)


def _luma(levels: np.ndarray) -> np.ndarray:
    """The released code names RGB as BGR, both ways: the weights of red and blue are swapped."""
    blue, green, red = levels[..., 0], levels[..., 1], levels[..., 2]
    return _divide(4899 * red + 9617 * green + 1868 * blue)


def _chroma(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    luma = _luma(levels)
    first = _divide(8061 * (levels[..., 0] - luma) + _CHROMA_ZERO)
    second = _divide(14369 * (levels[..., 2] - luma) + _CHROMA_ZERO)
    return first.clip(0, 255), second.clip(0, 255)


def _from_yuv(luma: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    u, v = first - 128, second - 128
    blue = luma + _divide(33292 * u)
    green = luma + _divide(-6472 * u - 9519 * v)
    red = luma + _divide(18678 * v)
    return np.stack([blue, green, red], -1).clip(0, 255).astype(np.uint8)


def _divide(value: np.ndarray) -> np.ndarray:
    """By 2^14, rounded."""
    return value + _HALF >> 14


def _blur(page: np.ndarray) -> np.ndarray:
    padded = np.pad(page.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    rows = sliding_window_view(padded, len(_BLUR), axis=1) @ _BLUR
    summed = sliding_window_view(rows, len(_BLUR), axis=0) @ _BLUR
    return np.asarray(summed + (1 << 15) >> 16)
