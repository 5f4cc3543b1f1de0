"""CIE Lab and CIEDE2000 of whole pages, several times faster than scikit-image and equal to it.

Tests hold both to scikit-image; ``perf/metrics.py`` prints the times of both. Colour planes come
first and stay contiguous, and pages are worked on in strips that fit the processor's cache.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

FloatArray = npt.NDArray[np.float64]

# sRGB primaries to XYZ and the D65 white of the 2 degree observer, with the digits that scikit-image uses.
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_RELATIVE_XYZ = _XYZ / _WHITE[:, None]

_STRIP = 32768
"""Pixels of a strip: planes of a quarter of a megabyte fit the cache, and torch starts no threads for them."""

_25_TO_7 = 25.0**7


def lab(page: FloatArray) -> FloatArray:
    """Convert a page from sRGB to CIE Lab (D65).

    Args:
        page: ``(H, W, 3)`` float64 in [0, 1].

    Returns:
        ``(3, H, W)`` float64: L in [0, 100], a and b about [-128, 127].
    """
    planes = np.empty((3, *page.shape[:2]))
    for rows in _strips(*page.shape[:2]):
        red, green, blue = (_linear(page[rows, :, channel]) for channel in range(3))
        x, y, z = (_root(row[0] * red + row[1] * green + row[2] * blue) for row in _TO_RELATIVE_XYZ)
        strip = planes[:, rows]
        strip[0], strip[1], strip[2] = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return planes


def mean_ciede2000(first: FloatArray, second: FloatArray) -> float:
    """Mean over pixels of the CIEDE2000 colour difference, kL = kC = kH = 1.

    Args:
        first: ``(3, H, W)`` float64, as ``lab`` gives it.
        second: The same.
    """
    strips = _strips(*first.shape[1:])
    total = sum(float(ciede2000_map(first[:, rows], second[:, rows]).sum()) for rows in strips)
    return total / first[0].size


def ciede2000_map(first: FloatArray, second: FloatArray) -> FloatArray:
    """CIEDE2000 of two Lab pictures, pixel by pixel (Sharma, Wu and Dalal 2005, Eq. 2 to 22).

    Args:
        first: ``(3, ...)`` float64.
        second: The same.

    Returns:
        ``(...)`` float64.
    """
    chroma = 0.5 * (_length(first[1], first[2]) + _length(second[1], second[2]))
    stretch = 1.5 - 0.5 * _chroma_weight(chroma)
    (chroma_1, hue_1), (chroma_2, hue_2) = (_polar(x[1] * stretch, x[2]) for x in (first, second))
    delta_hue = hue_2 - hue_1
    gray = (chroma_1 == 0) | (chroma_2 == 0)
    turn = np.where(delta_hue > np.pi, -2 * np.pi, np.where(delta_hue < -np.pi, 2 * np.pi, 0.0))
    delta_hue = np.where(gray, 0.0, delta_hue + turn)
    hue = hue_1 + hue_2
    wrapped = np.where(hue < 2 * np.pi, hue + 2 * np.pi, hue - 2 * np.pi)
    hue = np.where(gray, hue, 0.5 * np.where(turn == 0, hue, wrapped))

    lightness, chroma = 0.5 * (first[0] + second[0]) - 50, 0.5 * (chroma_1 + chroma_2)
    square = lightness * lightness
    delta_l = (second[0] - first[0]) / (1 + 0.015 * square / np.sqrt(20 + square))
    delta_c = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)
    delta_h = 2 * np.sqrt(chroma_1 * chroma_2) * _sin(0.5 * delta_hue) / (1 + 0.015 * chroma * _hue_weight(hue))
    turned = np.radians(60) * np.exp(-(((np.degrees(hue) - 275) / 25) ** 2))
    rotation = -2 * _sin(turned) * _chroma_weight(chroma)
    square = delta_l * delta_l + delta_c * delta_c + delta_h * delta_h + rotation * delta_c * delta_h
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def _strips(height: int, width: int) -> list[slice]:
    """Rows to be worked on together."""
    step = max(1, _STRIP // width)
    return [slice(top, top + step) for top in range(0, height, step)]


def _linear(values: FloatArray) -> FloatArray:
    """Undo the sRGB transfer function (IEC 61966-2-1)."""
    return np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)


def _root(values: FloatArray) -> FloatArray:
    """The cube root of CIE Lab with its linear part near black."""
    return np.where(values > 0.008856, np.cbrt(values), 7.787 * values + 16 / 116)


def _polar(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Chroma and hue, hue in [0, 2 pi)."""
    hue = np.arctan2(b, a)
    return _length(a, b), np.where(hue < 0, hue + 2 * np.pi, hue)


def _length(a: FloatArray, b: FloatArray) -> FloatArray:
    """Numpy's ``hypot`` guards against overflow, which Lab is far from, and takes over ten times as long."""
    return np.asarray(np.sqrt(a * a + b * b))


def _cos(values: FloatArray) -> FloatArray:
    """Torch's cosine: numpy's has no vector code for float64 and takes over ten times as long."""
    return torch.cos(torch.from_numpy(values)).numpy()


def _sin(values: FloatArray) -> FloatArray:
    """Torch's sine, for the same reason."""
    return torch.sin(torch.from_numpy(values)).numpy()


def _chroma_weight(chroma: FloatArray) -> FloatArray:
    """``sqrt(C^7 / (C^7 + 25^7))``, in Eq. 4 and Eq. 17."""
    square = chroma * chroma
    seventh = square * square * square * chroma
    return np.asarray(np.sqrt(seventh / (seventh + _25_TO_7)))


def _hue_weight(hue: FloatArray) -> FloatArray:
    """T of Eq. 15."""
    weight: FloatArray = (
        1
        - 0.17 * _cos(hue - np.radians(30))
        + 0.24 * _cos(2 * hue)
        + 0.32 * _cos(3 * hue + np.radians(6))
        - 0.20 * _cos(4 * hue - np.radians(63))
    )
    return weight
