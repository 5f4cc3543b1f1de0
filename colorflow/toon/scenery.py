"""Places of a chapter, seen from a moving camera.

Scene frame: the horizon at y = 0, panel height 1, y down; a place is a few units wide and looks
the same on every page, only the camera moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colorflow.toon.brush import FIRST_SCENE, SCENE_SLOTS, SOFT_INK, WHITE, Brush
from colorflow.toon.geometry import Points, circle, ellipse, move, points, smooth

KINDS = ("hills", "city", "room", "beach", "forest", "village")
LINE = 0.6
WIDE = 4.0


@dataclass(frozen=True)
class Place:
    """A location of a chapter: what kind, and where its things stand.

    Attributes:
        kind: One of ``KINDS``.
        slot: Number of its palette.
        marks: (24, 3) random numbers in [0, 1) that fix its things.
    """

    kind: str
    slot: int
    marks: np.ndarray

    def ink(self, which: int) -> int:
        """Palette index of the colour ``which`` (see ``colors.SCENE_LEVELS``)."""
        return FIRST_SCENE + SCENE_SLOTS * self.slot + which


def draw_places(rng: np.random.Generator, count: int) -> tuple[Place, ...]:
    """``count`` different locations."""
    kinds = rng.permutation(len(KINDS))
    return tuple(Place(KINDS[int(kinds[k % len(KINDS)])], k, rng.random((24, 3))) for k in range(count))


def draw_scene(brush: Brush, place: Place, left: float, right: float, sky: float, ground: float) -> None:
    """Draw a place between ``left`` and ``right``, from ``sky`` (negative) down to ``ground``."""
    brush.rect((left, sky, right, ground), place.ink(0))
    draw = {"hills": _hills, "city": _city, "room": _room, "beach": _beach, "forest": _forest, "village": _village}
    draw[place.kind](brush, place, left, right, sky, ground)


def draw_burst(brush: Brush, place: Place, width: float, height: float, rays: bool) -> None:
    """A backdrop for a close-up: rays or dots. Frame: the panel, height 1."""
    brush.rect((0.0, 0.0, width, height), place.ink(0))
    if rays:
        ring = circle(32) * 3.0 + (0.5 * width, 0.6)
        for k in range(0, 32, 2):
            brush.fill(np.concatenate([points((0.5 * width, 0.6)), ring[k : k + 2]]), place.ink(6))
        return
    for row in range(9):
        for column in range(int(width * 8) + 2):
            center = (column + 0.5 * (row % 2)) / 7.0, row / 7.0
            brush.dot(*center, 0.027, place.ink(2))


def _shape(brush: Brush, outline: Points, ink: int) -> None:
    """Fill an outline and draw its line, thin and gray: scenery stays behind the cast."""
    brush.shape(outline, ink, LINE, SOFT_INK)


def _clouds(brush: Brush, place: Place, left: float, right: float, sky: float) -> None:
    for x, y, size in place.marks[:6]:
        x, y, size = x * WIDE, sky * (0.55 + 0.35 * y), 0.7 + 0.5 * size
        if left - 0.3 < x < right + 0.3:
            left_half = [(-0.17, 0.03), (-0.13, -0.04), (-0.05, -0.035), (0.02, -0.085)]
            outline = points(*left_half, (0.09, -0.03), (0.16, -0.02), (0.18, 0.03))
            _shape(brush, move(smooth(outline * size), x, y), WHITE)


def _ridge(brush: Brush, left: float, right: float, heights: np.ndarray, base: float, ink: int) -> None:
    """Rolling ground: ``heights`` above ``base`` at even steps across the place."""
    xs = np.linspace(-0.5, WIDE + 0.5, len(heights))
    line = smooth(np.stack([xs, base - heights], axis=1), closed=False)
    keep = line[(line[:, 0] > left - 0.6) & (line[:, 0] < right + 0.6)]
    _shape(brush, np.concatenate([keep, points((float(keep[-1, 0]), 1.5), (float(keep[0, 0]), 1.5))]), ink)


def _bush(brush: Brush, x: float, y: float, size: float, ink: int) -> None:
    outline = points(
        (-1.0, 0.3), (-0.95, -0.2), (-0.5, -0.35), (-0.2, -0.8), (0.35, -0.7), (0.55, -0.25), (1.0, -0.1), (1.0, 0.3)
    )
    _shape(brush, move(smooth(outline * size), x, y), ink)


def _tree(brush: Brush, x: float, y: float, size: float, crown: int, trunk: int) -> None:
    _shape(brush, points((-0.12, 0.0), (-0.08, -1.0), (0.08, -1.0), (0.12, 0.0)) * size + (x, y), trunk)
    outline = circle(14, 0.25) * (0.66, 0.7) * np.where(np.arange(14)[:, None] % 2, 0.9, 1.08)
    _shape(brush, move(smooth(outline * size, 4), x, y - 1.35 * size), crown)


def _hills(brush: Brush, place: Place, left: float, right: float, sky: float, ground: float) -> None:
    sun = place.marks[0]
    _shape(brush, ellipse(float(sun[0]) * WIDE, sky * 0.62, 0.1, 0.1), place.ink(6))
    _clouds(brush, place, left, right, sky)
    _ridge(brush, left, right, 0.06 + 0.26 * place.marks[:10, 0], 0.0, place.ink(1))
    _ridge(brush, left, right, 0.12 * place.marks[:12, 1], 0.0, place.ink(2))
    _ridge(brush, left, right, 0.02 * place.marks[:14, 2], 0.03, place.ink(3))
    for x, y, size in place.marks[8:15]:
        if left - 0.3 < x * WIDE < right + 0.3:
            _bush(brush, float(x) * WIDE, 0.04 + 0.05 * float(y), 0.07 + 0.06 * float(size), place.ink(4))


def _city(brush: Brush, place: Place, left: float, right: float, sky: float, ground: float) -> None:
    _clouds(brush, place, left, right, sky)
    for k, (rise, gap, look) in enumerate(place.marks[:16]):
        x = (k + 0.3 * gap) * WIDE / 16 - 0.1
        if left - 0.4 < x < right + 0.1:
            high = 0.18 + 0.34 * float(rise)
            ink = place.ink(1 if look < 0.4 else 2 if look < 0.75 else 4)
            brush.rect((x, -high, x + 0.24, 0.1), ink, LINE, SOFT_INK)
            for row in range(int(high / 0.1)):
                for column in range(2):
                    near, top = x + 0.045 + 0.09 * column, -high + 0.04 + 0.1 * row
                    brush.rect((near, top, near + 0.06, top + 0.055), place.ink(6), 0.4, SOFT_INK)
    brush.rect((left, 0.03, right, ground), place.ink(3))
    brush.scratch(points((left, 0.03), (right, 0.03)), LINE, SOFT_INK)
    brush.scratch(points((left, 0.08), (right, 0.08)), LINE, SOFT_INK)


def _room(brush: Brush, place: Place, left: float, right: float, sky: float, ground: float) -> None:
    if place.marks[0, 0] < 0.6:
        for k in range(int(np.floor(left / 0.16)), int(right / 0.16) + 1):
            brush.rect((k * 0.16, sky, k * 0.16 + 0.06, 0.03), place.ink(6))
    for k in range(3):
        x = (k + 0.2 + 0.5 * float(place.marks[k + 1, 0])) * WIDE / 3
        if left - 0.5 < x < right + 0.1:
            _window(brush, place, x, -0.5) if k != 1 else _picture(brush, place, x, -0.46)
    brush.rect((left, 0.03, right, ground), place.ink(3))
    brush.rect((left, -0.03, right, 0.03), place.ink(1))
    for y in (-0.03, 0.03):
        brush.scratch(points((left, y), (right, y)), LINE, SOFT_INK)
    for k in range(int(np.floor(left / 0.3)) - 1, int(right / 0.3) + 2):
        brush.scratch(points((k * 0.3, 0.03), (k * 0.3 - 0.12, ground)), 0.45, SOFT_INK)


def _window(brush: Brush, place: Place, x: float, y: float) -> None:
    brush.rect((x, y, x + 0.34, y + 0.36), WHITE, LINE, SOFT_INK)
    brush.rect((x + 0.03, y + 0.03, x + 0.31, y + 0.33), place.ink(5), LINE, SOFT_INK)
    brush.scratch(move(points((0.17, 0.03), (0.17, 0.33)), x, y), 0.8, SOFT_INK)
    brush.scratch(move(points((0.03, 0.18), (0.31, 0.18)), x, y), 0.8, SOFT_INK)
    curtain = points((-0.06, -0.04), (0.1, -0.04), (0.05, 0.2), (0.0, 0.4), (-0.08, 0.4))
    for side in (curtain, curtain * (-1.0, 1.0) + (0.34, 0.0)):
        _shape(brush, move(side, x, y), place.ink(4))


def _picture(brush: Brush, place: Place, x: float, y: float) -> None:
    brush.rect((x, y, x + 0.26, y + 0.22), place.ink(4), LINE, SOFT_INK)
    brush.rect((x + 0.03, y + 0.03, x + 0.23, y + 0.19), WHITE, LINE, SOFT_INK)
    _shape(brush, move(points((0.03, 0.19), (0.1, 0.09), (0.15, 0.14), (0.18, 0.11), (0.23, 0.19)), x, y), place.ink(2))


def _beach(brush: Brush, place: Place, left: float, right: float, sky: float, ground: float) -> None:
    _shape(brush, ellipse(float(place.marks[0, 0]) * WIDE, sky * 0.6, 0.11, 0.11), place.ink(6))
    _clouds(brush, place, left, right, sky)
    brush.rect((left, -0.2, right, ground), place.ink(2))
    brush.scratch(points((left, -0.2), (right, -0.2)), LINE, SOFT_INK)
    for x, y, _ in place.marks[2:20]:
        wave = points((-0.07, 0.0), (-0.035, -0.012), (0.0, 0.0), (0.035, -0.012), (0.07, 0.0))
        brush.stroke(move(smooth(wave, closed=False), float(x) * WIDE, -0.16 + 0.12 * float(y)), 0.6, SOFT_INK)
    _ridge(brush, left, right, 0.04 * place.marks[:12, 1], 0.04, place.ink(3))
    for x, _, size in place.marks[20:23]:
        if left - 0.3 < x * WIDE < right + 0.3:
            _palm(brush, place, float(x) * WIDE, 0.05, 0.4 + 0.15 * float(size))


def _palm(brush: Brush, place: Place, x: float, y: float, size: float) -> None:
    trunk = points((-0.06, 0.0), (0.0, -0.5), (0.12, -0.98), (0.2, -0.98), (0.1, -0.5), (0.07, 0.0))
    _shape(brush, move(smooth(trunk * size), x, y), place.ink(1))
    for dx, dy in ((-0.5, -0.02), (0.5, 0.02), (-0.36, -0.28), (0.36, -0.26)):
        leaf = points((0, 0), (dx * 0.5, dy - 0.16), (dx, dy + 0.08), (dx * 0.45, dy * 0.4 + 0.02))
        _shape(brush, move(smooth(leaf * size), x + 0.16 * size, y - size), place.ink(4))


def _forest(brush: Brush, place: Place, left: float, right: float, sky: float, ground: float) -> None:
    _ridge(brush, left, right, 0.28 + 0.2 * place.marks[:18, 0], 0.0, place.ink(1))
    _ridge(brush, left, right, 0.03 * place.marks[:14, 2], 0.02, place.ink(3))
    for k, (x, y, size) in enumerate(place.marks[:9]):
        at = (k + 0.6 * float(x)) * WIDE / 9
        if left - 0.4 < at < right + 0.4:
            _tree(
                brush, at, 0.03 + 0.04 * float(y), 0.26 + 0.1 * float(size), place.ink(4 if k % 2 else 2), place.ink(5)
            )


def _village(brush: Brush, place: Place, left: float, right: float, sky: float, ground: float) -> None:
    _clouds(brush, place, left, right, sky)
    _ridge(brush, left, right, 0.06 + 0.2 * place.marks[:10, 0], 0.0, place.ink(1))
    _ridge(brush, left, right, 0.02 * place.marks[:14, 2], 0.02, place.ink(3))
    for k, (x, y, size) in enumerate(place.marks[:7]):
        at = (k + 0.5 * float(x)) * WIDE / 7
        if left - 0.4 < at < right + 0.4:
            if k % 3 == 2:
                _tree(brush, at, 0.05, 0.24 + 0.08 * float(size), place.ink(2), place.ink(5))
            else:
                _house(brush, place, at, 0.05, 0.2 + 0.06 * float(y))


def _house(brush: Brush, place: Place, x: float, y: float, size: float) -> None:
    _shape(brush, points((-0.7, 0), (-0.7, -0.9), (0.7, -0.9), (0.7, 0)) * size + (x, y), place.ink(6))
    _shape(brush, points((-0.88, -0.86), (0, -1.7), (0.88, -0.86)) * size + (x, y), place.ink(4))
    _shape(brush, points((0.1, 0), (0.1, -0.55), (0.45, -0.55), (0.45, 0)) * size + (x, y), place.ink(5))
    _shape(brush, points((-0.45, -0.3), (-0.45, -0.65), (-0.12, -0.65), (-0.12, -0.3)) * size + (x, y), WHITE)
