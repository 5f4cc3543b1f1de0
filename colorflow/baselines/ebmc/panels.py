"""The panels of a page: what is enclosed by the white between them. Threshold and limits as released."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import label, regionprops

WHITE = 230
"""Levels above it are paper."""

SMALLEST, LARGEST = 0.05, 0.9
"""Shares of the page between which a region is a panel."""


@dataclass(frozen=True)
class Panel:
    """A region of a page.

    Attributes:
        box: Left, top, right and bottom in pixels.
        mask: Of the box's size, mode L: 255 inside the panel, 0 outside.
    """

    box: tuple[int, int, int, int]
    mask: Image.Image


def find_panels(page: Image.Image) -> list[Panel]:
    """The panels of a page, from its top; none where nothing but the whole page is enclosed (a page on gray paper).

    The gutter is the largest connected white region; a panel is what it leaves in one piece, holes filled.
    """
    white = np.asarray(page.convert("L")) > WHITE
    regions = label(white, connectivity=1)
    sizes = np.bincount(regions.ravel())[1:]  # 0 is what is not white
    if not sizes.size:
        return []
    others = label(regions != 1 + sizes.argmax(), connectivity=1)
    panels = []
    for region in regionprops(others):
        top, left, bottom, right = region.bbox
        if SMALLEST < region.area_filled / white.size < LARGEST:
            panels.append(Panel((left, top, right, bottom), _mask(region.image_filled)))
    return panels


def _mask(inside: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(inside.astype(np.uint8) * 255)
