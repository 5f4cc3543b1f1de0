"""Hats and other headgear, in the prop's colour. Head frame (see ``head``)."""

from __future__ import annotations

import numpy as np

from colorflow.toon.brush import WHITE, Brush
from colorflow.toon.geometry import circle, ellipse, move, points, smooth, tube


def draw_hat(brush: Brush, kind: str, wide: float, fill: int) -> None:
    """Draw one of ``cast.HATS`` on a head of half-width ``wide``."""
    hats = {
        "cap": _cap, "cone": _cone, "tophat": _tophat, "crown": _crown, "beanie": _beanie, "bow": _bow,
        "flower": _flower, "headphones": _headphones, "horns": _horns, "antennae": _antennae,
    }  # fmt: skip
    if kind in hats:
        hats[kind](brush, wide, fill)


def _cap(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(circle(28)[14:] * (wide * 1.1, 0.78) + (0, -0.5), fill)
    brush.shape(smooth(points((0.1, -0.62), (wide, -0.66), (wide * 1.75, -0.42), (wide, -0.4), (0.1, -0.42))), fill)
    brush.shape(ellipse(0, -1.27, 0.1, 0.07, 12), fill)


def _cone(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(points((-wide * 0.72, -0.7), (0.12, -2.1), (wide * 0.72, -0.7), (0, -0.56)), fill)
    brush.stroke(points((-0.36, -1.15), (0.52, -0.98)), 0.9)
    brush.shape(ellipse(0.12, -2.1, 0.17, 0.17, 16), WHITE)


def _tophat(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(points((-wide * 0.66, -0.7), (-wide * 0.76, -1.8), (wide * 0.76, -1.8), (wide * 0.66, -0.7)), fill)
    brush.shape(points((-wide * 0.68, -0.8), (-wide * 0.7, -1.05), (wide * 0.7, -1.05), (wide * 0.68, -0.8)), WHITE)
    brush.shape(ellipse(0, -0.72, wide * 1.2, 0.17), fill)


def _crown(brush: Brush, wide: float, fill: int) -> None:
    top = [(-0.85, -1.5), (-0.42, -1.15), (0.0, -1.62), (0.42, -1.15), (0.85, -1.5), (0.72, -0.68), (0.0, -0.6)]
    brush.shape(points((-0.72, -0.68), *top) * (wide, 1.0), fill)
    for x in (-0.35, 0.0, 0.35):
        brush.shape(ellipse(x * wide, -0.86, 0.08, 0.08, 12), WHITE, 0.7)


def _beanie(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(ellipse(0, -1.42, 0.25, 0.25, 18), WHITE)
    brush.shape(circle(28)[14:] * (wide * 1.1, 0.86) + (0, -0.5), fill)
    brush.shape(tube(points((-wide * 1.04, -0.5), (0, -0.58), (wide * 1.04, -0.5)), 0.32), fill)
    for x in (-0.6, -0.2, 0.2, 0.6):
        brush.stroke(points((x * wide, -0.64), (x * wide, -0.45)), 0.7)


def _bow(brush: Brush, wide: float, fill: int) -> None:
    x, y = wide * 0.45, -1.0
    for side in (-1, 1):
        wing = smooth(points((0, 0), (side * 0.3, -0.38), (side * 0.68, -0.36), (side * 0.66, 0.34), (side * 0.3, 0.3)))
        brush.shape(move(wing, x, y), fill)
    brush.shape(ellipse(x, y, 0.16, 0.18, 14), fill)


def _flower(brush: Brush, wide: float, fill: int) -> None:
    x, y = -wide * 0.62, -0.78
    for dx, dy in circle(5, 0.25) * 0.26:
        brush.shape(ellipse(x + float(dx), y + float(dy), 0.21, 0.21, 14), fill)
    brush.shape(ellipse(x, y, 0.16, 0.16, 14), WHITE)


def _headphones(brush: Brush, wide: float, fill: int) -> None:
    arc = circle(28)[14:] * (wide * 1.12, 1.2) + (0, 0.0)
    brush.shape(tube(np.concatenate([arc, points((wide * 1.12, 0.0))]), 0.2), fill)
    for side in (-1, 1):
        brush.shape(ellipse(side * wide * 1.1, 0.12, 0.27, 0.38), fill)


def _horns(brush: Brush, wide: float, fill: int) -> None:
    for side in (-1, 1):
        path = points((wide * 0.55, -0.8), (wide * 0.95, -1.15), (wide * 0.85, -1.65)) * (side, 1.0)
        brush.shape(tube(smooth(path, closed=False), (0.4, 0.26, 0.06)), fill)


def _antennae(brush: Brush, wide: float, fill: int) -> None:
    for side in (-1, 1):
        path = points((wide * 0.25, -0.9), (wide * 0.35, -1.4), (wide * 0.62, -1.66)) * (side, 1.0)
        brush.stroke(smooth(path, closed=False), 1.5)
        brush.shape(ellipse(side * wide * 0.64, -1.72, 0.2, 0.2, 16), fill)
