"""Pages as CIE Lab (D65, scikit-image) and back."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

Floats = NDArray[np.floating]


def to_lab(page: Image.Image) -> Floats:
    """``(H, W, 3)`` float64 of an RGB page."""
    return np.asarray(rgb2lab(np.asarray(page.convert("RGB"))))


def lightness(page: Image.Image) -> Floats:
    """``(H, W)`` float64 in [0, 100], L of the page's gray copy (ITU-R 601): what a black-and-white page shows."""
    levels = to_lab(Image.fromarray(np.arange(256, dtype=np.uint8)[None]))[0, :, 0]
    return levels[np.asarray(page.convert("L"))]


def to_page(light: Floats, chroma: Floats, truncate: bool = False) -> Image.Image:
    """An RGB page of ``(H, W)`` L and ``(H, W, 2)`` a and b; what lies out of gamut is clipped.

    Args:
        light: L.
        chroma: a and b, of the same dtype.
        truncate: Cut levels off below the point in place of rounding.
    """
    with warnings.catch_warnings():  # scikit-image tells of colours out of gamut, which are clipped
        warnings.filterwarnings("ignore", message=".*negative Z values")
        rgb = np.asarray(lab2rgb(np.dstack([light, chroma]))).clip(0, 1) * 255
    return Image.fromarray((rgb if truncate else rgb.round()).astype(np.uint8))
