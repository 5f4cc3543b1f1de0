"""Outlines as (N, 2) arrays: ellipses, smooth curves, tubes, and moving an outline in or out.

Cosines and sines are rounded and curves use elementwise arithmetic only, so that the last bit of a
library never decides a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_RIGHT = np.array([1.0, -1.0])


def points(*pairs: tuple[float, float]) -> Points:
    """(N, 2) float64 from coordinate pairs."""
    return np.array(pairs, dtype=np.float64)


@lru_cache(maxsize=64)
def circle(count: int, start: float = 0.0) -> Points:
    """(count, 2) points of the unit circle, counted from ``start`` turns."""
    angles = (np.arange(count) / count + start) * 2.0 * np.pi
    unit = np.round(np.stack([np.cos(angles), np.sin(angles)], axis=1), 9)
    unit.setflags(write=False)
    return unit


def ellipse(x: float, y: float, rx: float, ry: float, count: int = 28) -> Points:
    """(count, 2) points of an upright ellipse."""
    return circle(count) * (rx, ry) + (x, y)


def smooth(control: Points, steps: int = 6, closed: bool = True) -> Points:
    """Catmull-Rom curve through the control points (N, 2); elementwise arithmetic only."""
    if closed:
        after, before = _neighbours(len(control))
        p0, p1, p2, p3 = (
            corner[:, None] for corner in (control[before], control, control[after], control[after][after])
        )
    else:
        padded = np.concatenate([control[:1], control, control[-1:]])
        p0, p1, p2, p3 = (padded[k : len(padded) - 3 + k][:, None] for k in range(4))
    t = (np.arange(steps) / steps)[None, :, None]
    a = 3.0 * p1 - p0 - 3.0 * p2 + p3
    b = 2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3
    curve = (p1 + 0.5 * t * (p2 - p0 + t * (b + t * a))).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, control[-1:]])


def turn(shape: Points, degrees: float, x: float = 0.0, y: float = 0.0) -> Points:
    """Rotate about the origin (clockwise on the page), then move by (x, y)."""
    cos, sin = direction(degrees)
    return shape * (cos, cos) + shape[:, ::-1] * (-sin, sin) + (x, y)


def direction(degrees: float) -> tuple[float, float]:
    """Cosine and sine, rounded so that every machine has the same."""
    angle = math.radians(degrees)
    return round(math.cos(angle), 9), round(math.sin(angle), 9)


def move(shape: Points, x: float, y: float) -> Points:
    """Shift an outline (N, 2) by (x, y)."""
    moved: Points = shape + np.array((x, y))
    return moved


def tube(path: Points, widths: Sequence[float] | float, caps: int = 5) -> Points:
    """Outline (M, 2) of an open path (N, 2) with full ``widths`` along it and round ends."""
    step = np.empty_like(path)
    step[1:-1] = path[2:] - path[:-2]
    step[0], step[-1] = path[1] - path[0], path[-1] - path[-2]
    squared = step * step
    step /= np.maximum(np.sqrt(squared[:, :1] + squared[:, 1:]), 1e-9)
    half: Points = np.full((len(path), 1), 0.5 * widths) if isinstance(widths, float) else _taper(widths, len(path))
    side = step[:, ::-1] * _RIGHT * half
    arc = circle(2 * (caps + 1))[1 : caps + 1]
    end = path[-1] + side[-1] * arc[:, :1] + step[-1] * (half[-1] * arc[:, 1:])
    start = path[0] - side[0] * arc[:, :1] - step[0] * (half[0] * arc[:, 1:])
    return np.concatenate([path + side, end, (path - side)[::-1], start])


def _taper(widths: Sequence[float], count: int) -> Points:
    """(count, 1) half-widths between the given full widths, at even steps."""
    places = np.arange(count) * ((len(widths) - 1) / (count - 1))
    return 0.5 * np.interp(places, np.arange(len(widths)), np.asarray(widths))[:, None]


@lru_cache(maxsize=256)
def _neighbours(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the next and of the previous corner of a closed outline."""
    order = np.arange(count)
    return (order + 1) % count, (order - 1) % count


def outward(shape: Points) -> Points:
    """(N, 2) step from each corner of a closed outline that moves both its edges out by 1."""
    after, before = _neighbours(len(shape))
    following = shape[after]
    edge = following - shape
    squared = edge * edge
    edge /= np.maximum(np.sqrt(squared[:, :1] + squared[:, 1:]), 1e-9)
    area = np.dot(shape[:, 0], following[:, 1]) - np.dot(following[:, 0], shape[:, 1])
    both = edge + edge[before]
    squared = both * both
    along = np.maximum(0.5 * (squared[:, :1] + squared[:, 1:]), 0.6)
    return both[:, ::-1] / along * (_RIGHT if area >= 0.0 else -_RIGHT)


def grow(shape: Points, amount: float) -> Points:
    """Move a closed outline (N, 2) outwards by ``amount`` pixels."""
    return shape + outward(shape) * amount
