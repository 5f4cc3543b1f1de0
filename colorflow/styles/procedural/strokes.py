"""Lines and small lights of a page, apart from its areas: morphology with square windows, fast on 8 bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_Pick = Callable[[np.ndarray, np.ndarray], np.ndarray]


def closing(levels: np.ndarray, window: int) -> np.ndarray:
    """Fill what is dark and thinner than the window. ``(H, W, ...)`` uint8 to the same."""
    return _running(_running(levels, window, np.maximum), window, np.minimum)


def opening(levels: np.ndarray, window: int) -> np.ndarray:
    """Take away what is light and thinner than the window. ``(H, W, ...)`` uint8 to the same."""
    return _running(_running(levels, window, np.minimum), window, np.maximum)


def _running(levels: np.ndarray, window: int, pick: _Pick) -> np.ndarray:
    """The largest or smallest value in a square window of odd side around each pixel, by doubling spans."""
    half = window // 2
    if not half:
        return levels
    for axis in (0, 1):
        edges = [(half, half) if place == axis else (0, 0) for place in range(levels.ndim)]
        span, values = 1, np.pad(levels, edges, mode="edge")
        while span < window:
            step = min(span, window - span)
            length = values.shape[axis] - step
            before, after = ((slice(None),) * axis + (slice(start, start + length),) for start in (0, step))
            values, span = pick(values[before], values[after]), span + step
        levels = values
    return levels
