"""The regions that an artist would lay a tone on: areas of one colour, found small and fitted to the page's edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from skimage.segmentation import felzenszwalb

_COARSE_PIXELS = 20_000  # of the picture that is segmented: about 110 x 180 of a page
_SCALE = 120
_SLIGHT = 20  # levels between neighbours of the coarse picture
_MIN_SHARE = 1 / 1500  # of the page: smaller regions join a neighbour


@dataclass(frozen=True)
class Regions:
    """The regions of a page.

    Attributes:
        labels: ``(H, W)`` int32, the region of each pixel.
        color: ``(R, 3)`` float32 in [0, 1], mean colour.
        luma: ``(R,)`` float32 in [0, 1], mean luminance.
        spread: ``(R,)`` float32, standard deviation of the luminance inside.
        size: ``(R,)`` float32, share of the page.
        fading: ``(R,)`` float32 in [0, 1], share of its border over which the page hardly changes.
    """

    labels: np.ndarray
    color: np.ndarray
    luma: np.ndarray
    spread: np.ndarray
    size: np.ndarray
    fading: np.ndarray


def find_regions(page: Image.Image) -> Regions:
    """Segment a page whose lines have been taken out.

    Args:
        page: RGB.
    """
    factor = max(1, round((page.width * page.height / _COARSE_PIXELS) ** 0.5))
    # Sampled, not averaged: mixed colours between two areas would become areas of their own.
    rows, columns = (slice(min(factor // 2, side - 1), None, factor) for side in (page.height, page.width))
    coarse = np.asarray(page)[rows, columns]
    labels = np.zeros(coarse.shape[:2], dtype=np.int64)
    if min(labels.shape) > 2:
        smallest = max(2, round(labels.size * _MIN_SHARE))
        labels = felzenszwalb(coarse, scale=_SCALE, sigma=0, min_size=smallest)
    values = coarse.reshape(-1, 3).astype(np.float32) / 255
    flat = labels.ravel()
    count = np.bincount(flat)
    color = np.stack([np.bincount(flat, channel) / count for channel in values.T], axis=1).astype(np.float32)
    light = values @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    luma = np.bincount(flat, light) / count
    spread = np.sqrt(np.maximum(np.bincount(flat, light**2) / count - luma**2, 0))
    fitted = _fit(labels, color, np.asarray(page), factor) if factor > 1 else labels
    parts = (luma, spread, count / labels.size, _fading(labels, coarse))
    return Regions(fitted.astype(np.int32), color, *(part.astype(np.float32) for part in parts))


def _fading(labels: np.ndarray, page: np.ndarray) -> np.ndarray:
    """Share of the border of each region over which no channel changes by much; 0 for a region without a border."""
    soft, length = np.zeros((2, labels.max() + 1))
    for axis in (0, 1):
        before, after = (
            np.take(labels, range(*ends), axis) for ends in ((labels.shape[axis] - 1,), (1, labels.shape[axis]))
        )
        where = before != after
        slight = np.abs(np.diff(page.astype(np.int16), axis=axis)).max(-1)[where] < _SLIGHT
        for side in (before[where], after[where]):
            soft += np.bincount(side, slight, len(soft))
            length += np.bincount(side, minlength=len(length))
    return soft / np.maximum(length, 1)


def _fit(labels: np.ndarray, color: np.ndarray, page: np.ndarray, factor: int) -> np.ndarray:
    """Give each pixel, of the regions of the four coarse pixels around it, the one that is nearest in colour."""
    height, width = page.shape[:2]
    levels = (color * 255).astype(np.int16)
    rows, columns = (
        _neighbours(length, count, factor) for length, count in zip((height, width), labels.shape, strict=True)
    )
    best = labels[rows[0][:, None], columns[0]]
    nearest = np.abs(levels[best] - page).sum(-1)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        other = labels[rows[row][:, None], columns[column]]
        differs = other != best
        distance = np.abs(levels[other[differs]] - page[differs]).sum(-1)
        closer = distance < nearest[differs]
        where = np.flatnonzero(differs)[closer]
        best.ravel()[where] = other.ravel()[where]
        nearest.ravel()[where] = distance[closer]
    return best


def _neighbours(length: int, count: int, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """The coarse pixels before and after each fine one."""
    place = (np.arange(length) + 0.5) / factor - 0.5
    before = np.floor(place).astype(int)
    return before.clip(0, count - 1), (before + 1).clip(0, count - 1)
