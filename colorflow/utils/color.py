"""Luma, and whether a picture is in colour, also where paper and ink are tinted."""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

LUMA = (0.299, 0.587, 0.114)
"""ITU-R 601, as gray pages are made by Pillow."""

_SIDE = 256
_RESIDUAL = 12.0
_SHARE = 0.01


def is_colored(image: Image.Image, residual: float = _RESIDUAL, share: float = _SHARE) -> bool:
    """Tell a page in colour from a black-and-white one, scans with yellowed paper or coloured ink included.

    A tint is one colour that goes with the luminance: a and b of Lab are fitted as straight lines of L, and only
    what is left over counts. The picture is reduced first, so that fringes of a scanner or of JPEG do not.

    Args:
        image: RGB, any size.
        residual: Distance in the (a, b) plane from which a pixel is in colour (our choice).
        share: Share of such pixels from which the page is (our choice: a small coloured title does not count).
    """
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    lab = rgb2lab(np.asarray(small)).reshape(-1, 3)
    design = np.stack([lab[:, 0], np.ones(len(lab))], axis=1)
    tint = design @ np.linalg.lstsq(design, lab[:, 1:], rcond=None)[0]
    return bool((np.linalg.norm(lab[:, 1:] - tint, axis=1) > residual).mean() > share)
