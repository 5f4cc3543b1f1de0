"""Things characters hold. Frame: the hand at (0, 0), figure units, y down."""

from __future__ import annotations

import numpy as np

from colorflow.toon.brush import WHITE, Brush
from colorflow.toon.geometry import circle, ellipse, move, points, smooth, tube


def draw_prop(brush: Brush, kind: str, fill: int) -> None:
    """Draw one of ``cast.PROPS`` in the palette index ``fill``."""
    props = {
        "balloon": _balloon, "umbrella": _umbrella, "sword": _sword, "wand": _wand, "book": _book,
        "flower": _flower, "lollipop": _lollipop, "flag": _flag, "ball": _ball, "bag": _bag,
    }  # fmt: skip
    props[kind](brush, fill)


def _balloon(brush: Brush, fill: int) -> None:
    brush.stroke(smooth(points((0, 0), (0.03, -0.12), (0.0, -0.22), (0.04, -0.34)), closed=False), 0.8)
    brush.shape(
        smooth(points((0.04, -0.34), (-0.08, -0.45), (-0.07, -0.58), (0.04, -0.64), (0.15, -0.58), (0.16, -0.45))), fill
    )
    brush.fill(ellipse(-0.01, -0.55, 0.018, 0.035, 12), WHITE)


def _umbrella(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.1), (0, -0.4)), 1.6)
    hem = [(0.27 - 0.09 * k, -0.28 - (0.035 if k % 2 else 0.0)) for k in range(7)]
    dome = circle(24)[12:] * (0.27, 0.24) + (0, -0.28)
    brush.shape(np.concatenate([dome, points(*hem)]), fill)
    for x in (-0.09, 0.09):
        brush.stroke(points((x, -0.3), (x * 0.4, -0.51)), 0.7)


def _sword(brush: Brush, fill: int) -> None:
    brush.shape(points((-0.03, -0.06), (0.03, -0.06), (0.036, -0.4), (0, -0.47), (-0.036, -0.4)), fill)
    brush.stroke(points((0, -0.1), (0, -0.38)), 0.6)
    brush.shape(tube(points((0, 0.07), (0, -0.05)), 0.035), fill)
    brush.shape(tube(points((-0.075, -0.055), (0.075, -0.055)), 0.035), fill)


def _wand(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.08), (0, -0.24)), 2.2)
    star = circle(10, 0.25) * np.where(np.arange(10)[:, None] % 2, 0.125, 0.06)
    brush.shape(move(star, 0, -0.3), fill)


def _book(brush: Brush, fill: int) -> None:
    brush.shape(points((-0.02, -0.15), (0.17, -0.19), (0.17, 0.05), (-0.02, 0.09)), fill)
    brush.shape(points((-0.02, -0.15), (-0.06, -0.17), (-0.06, 0.06), (-0.02, 0.09)), WHITE, 0.8)
    brush.stroke(points((0.03, -0.1), (0.12, -0.12)), 0.8)


def _flower(brush: Brush, fill: int) -> None:
    brush.stroke(smooth(points((0, 0.08), (0.02, -0.1), (0, -0.26)), closed=False), 1.4)
    for x, y in circle(5, 0.75) * 0.075 + (0, -0.29):
        brush.shape(ellipse(float(x), float(y), 0.058, 0.058, 14), fill, 0.8)
    brush.shape(ellipse(0, -0.29, 0.04, 0.04, 14), WHITE, 0.8)


def _lollipop(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.08), (0, -0.2)), 1.6)
    brush.shape(ellipse(0, -0.29, 0.12, 0.12), fill)
    spiral = circle(24)[:20] * np.linspace(0.02, 0.085, 20)[:, None] + (0, -0.29)
    brush.stroke(spiral, 0.8)


def _flag(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.12), (0, -0.46)), 1.6)
    top = smooth(points((0, -0.45), (0.09, -0.48), (0.17, -0.43), (0.28, -0.45)), closed=False)
    brush.shape(np.concatenate([top, points((0.2, -0.36)), move(top[::-1], 0, 0.18)]), fill)


def _ball(brush: Brush, fill: int) -> None:
    brush.shape(ellipse(0.06, -0.03, 0.12, 0.12), fill)
    brush.stroke(smooth(points((-0.05, -0.06), (0.06, -0.01), (0.17, -0.07)), closed=False), 0.8)
    brush.stroke(smooth(points((0.04, -0.14), (0.08, -0.03), (0.05, 0.08)), closed=False), 0.8)


def _bag(brush: Brush, fill: int) -> None:
    brush.stroke(smooth(points((-0.05, 0.1), (-0.03, 0.0), (0.03, 0.0), (0.05, 0.1)), closed=False), 1.4)
    brush.shape(points((-0.1, 0.07), (0.1, 0.07), (0.12, 0.24), (-0.12, 0.24)), fill)
    brush.stroke(points((-0.1, 0.13), (0.11, 0.13)), 0.8)
