"""Resizing as OpenCV's INTER_AREA does it, and the size and padding that the generator gets a page at.

Facts: where no side grows a pixel is the mean of what it covers. Where one does, both are interpolated between two
taps, 8-bit pixels in integers.
"""

from __future__ import annotations

import numpy as np

MULTIPLE = 32
"""The padded side is a multiple of it."""


def resize_area(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a picture.

    Args:
        pixels: ``(H, W)`` or ``(H, W, C)``, uint8 or float32.
        size: (width, height) of the result.

    Returns:
        The same type, ``(height, width[, C])``.
    """
    width, height = size
    if (height, width) == pixels.shape[:2]:
        return pixels.copy()
    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    planes = pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
    resized = np.stack([(_average if shrinks else _interpolate)(plane, width, height) for plane in planes], -1)
    return resized.reshape(height, width, *pixels.shape[2:])


def network_size(width: int, height: int, size: int) -> tuple[int, int]:
    """(width, height) that a page is brought to: a width of ``size``, or 1.5 times that in height if it is wider."""
    if height < width:
        return -(-width * 3 * size // (2 * height)), 3 * size // 2
    return size, -(-height * size // width)


def pad_free_side(plane: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Pad the side that the aspect gave to the next multiple of 32; a multiple gets 32 more (official).

    Args:
        plane: ``(h, w)`` uint8 or float32 in [0, 1], of `network_size`.

    Returns:
        The plane, padded at the bottom by the maximum of each column or at the right by that of each row, and
        (bottom, right) in pixels.
    """
    height, width = plane.shape
    wider = height < width
    pad = MULTIPLE - (width if wider else height) % MULTIPLE
    bottom, right = (0, pad) if wider else (pad, 0)
    border = plane.max(axis=1 if wider else 0, keepdims=True)
    padded = np.concatenate([plane, border.repeat(pad, axis=1 if wider else 0)], axis=1 if wider else 0)
    return (padded if plane.dtype == np.uint8 else padded.clip(0, 1)), (bottom, right)


def _average(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    rows, columns = _coverage(plane.shape[0], height), _coverage(plane.shape[1], width)
    means = rows @ plane.astype(np.float64) @ columns.T
    if plane.dtype != np.uint8:
        return means.astype(np.float32)
    halved = plane.shape == (2 * height, 2 * width)  # the one case in which OpenCV rounds halves up, not to even
    return (np.floor(means + 0.5) if halved else np.rint(means)).astype(np.uint8)


def _coverage(source: int, target: int) -> np.ndarray:
    """``(target, source)``: the share that each source pixel has in a target pixel."""
    edges = np.arange(target + 1) * (source / target)
    pixel = np.arange(source)
    shared = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return shared.clip(0) / (source / target)


def _interpolate(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    top, down = _taps(plane.shape[0], height)
    left, across = _taps(plane.shape[1], width)
    below, right = np.minimum(top + 1, plane.shape[0] - 1), np.minimum(left + 1, plane.shape[1] - 1)
    if plane.dtype != np.uint8:
        rows = plane[:, left] * (1 - across) + plane[:, right] * across
        return rows[top] * (1 - down[:, None]) + rows[below] * down[:, None]
    # OpenCV's fixed point: weights of 11 bits, 4 bits dropped between the axes.
    values = plane.astype(np.int64)
    rows = values[:, left] * _fixed(1 - across) + values[:, right] * _fixed(across) >> 4
    first = _fixed(1 - down)[:, None] * rows[top] >> 16
    second = _fixed(down)[:, None] * rows[below] >> 16
    return (first + second + 2 >> 2).clip(0, 255).astype(np.uint8)


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """The first of two source pixels of each target pixel, and the float32 weight of the second."""
    place = np.arange(target)
    first = np.floor(place * (source / target)).astype(np.int64)
    weight = ((place + 1) - (first + 1) * (target / source)).astype(np.float32)
    weight = np.where(weight <= 0, np.float32(0), weight - np.floor(weight))
    weight[first >= source - 1] = 0
    return first.clip(max=source - 1), weight


def _fixed(weight: np.ndarray) -> np.ndarray:
    return np.rint(weight * np.float32(2048)).astype(np.int64)
