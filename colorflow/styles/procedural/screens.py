"""Threshold tiles of screentones: where ink falls first, as ranks, so that the share of ink is exact by construction.

A screen is a spot function on a rotated square lattice. With lattice vectors (a, b) and (-b, a) of whole device
pixels it repeats in a square tile, over which the spot function is turned into ranks with a fixed order of ties:
printing where ``ink > threshold`` inks exactly that share of the tile. An analytic distribution function would miss by
4 to 10 % at 0 degrees with cells of 4 to 6 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

LEVELS = 255
"""Ink is given in 255ths; thresholds are 0 to 254."""

_SPREAD = (0.5698402909980532, 0.7548776662466927)  # powers of 1 / 1.3247: a plane sequence of low discrepancy
_GRAIN_TILE = 128
_LEAST_SIDE = 32  # of a tile: 4 x 4 pixels alone would have 17 shares of ink


def _round(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Dots that are round up to a half of ink and leave round holes above it."""
    return np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v)


def _line(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.cos(2 * np.pi * u)


def _diamond(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return -(np.abs(u - np.round(u)) + np.abs(v - np.round(v)))


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return -np.maximum(np.abs(u - np.round(u)), np.abs(v - np.round(v)))


SPOTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "round": _round,
    "line": _line,
    "diamond": _diamond,
    "square": _square,
}
KINDS = (*SPOTS, "grain")


@dataclass(frozen=True)
class Screen:
    """A sheet of tone.

    Attributes:
        kind: One of `KINDS`; "grain" is sand without a lattice.
        cell: Distance of neighbouring dots, or of lines, in device pixels; grains are half as far apart.
        angle: Of the rows of dots, or of the lines' normal, in degrees; realised by whole lattice vectors.
        phase: Shift (y, x) in device pixels; of "grain" also what tells one sheet from another.
    """

    kind: str
    cell: float
    angle: float = 45.0
    phase: tuple[int, int] = (0, 0)

    def thresholds(self, height: int, width: int) -> np.ndarray:
        """Return ``(height, width)`` uint8 in [0, 254]; ink of k 255ths is printed where it is above the threshold."""
        if self.kind == "grain":
            tile = _grain(max(4, round(self.cell)) / 2)
        else:
            tile = _tile(self.kind, *lattice(self.cell, self.angle))
        tile = np.roll(tile, self.phase, (0, 1))
        return np.tile(tile, (-(-height // tile.shape[0]), -(-width // tile.shape[1])))[:height, :width]


def lattice(cell: float, angle: float) -> tuple[int, int]:
    """Return the whole vector (a, b) nearest to a length and an angle in degrees; never (0, 0)."""
    radians = math.radians(angle)
    a, b = round(cell * math.cos(radians)), round(cell * math.sin(radians))
    return (a, b) if a or b else (1, 0)


@lru_cache(maxsize=128)
def _tile(kind: str, a: int, b: int) -> np.ndarray:
    """Whole periods of a lattice screen, as thresholds."""
    squared = a * a + b * b
    period = squared // math.gcd(a, b)
    side = period * -(-_LEAST_SIDE // period)
    y, x = np.mgrid[:side, :side] + 0.5
    return ranks(SPOTS[kind]((x * a + y * b) / squared, (y * a - x * b) / squared))


@lru_cache(maxsize=32)
def _grain(cell: float) -> np.ndarray:
    """A periodic tile of noise whose grains are about ``cell`` apart: white noise, its low and high frequencies cut.

    The band is wide: a narrow one grows worms, not sand.
    """
    noise = np.random.default_rng(0).standard_normal((_GRAIN_TILE, _GRAIN_TILE))
    y, x = np.meshgrid(*[np.fft.fftfreq(_GRAIN_TILE)] * 2, indexing="ij")
    frequency = np.hypot(x, y) * cell
    band = frequency**2 * np.exp(-(frequency**2))
    return ranks(np.real(np.fft.ifft2(np.fft.fft2(noise) * band)))


def ranks(spot: np.ndarray) -> np.ndarray:
    """Turn a spot function into thresholds, uint8 in [0, 254]: largest first, ties in a fixed, well spread order.

    Ties are many, as cells repeat. In reading order the dots of the first rows would grow first, in a random one they
    would grow ragged.
    """
    y, x = np.mgrid[: spot.shape[0], : spot.shape[1]]
    ties = ((_SPREAD[0] * y + _SPREAD[1] * x) % 1).ravel()
    order = np.lexsort((ties, -spot.ravel().round(6)))  # rounded: the same ties on every machine
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    return (rank * LEVELS // order.size).astype(np.uint8).reshape(spot.shape)
