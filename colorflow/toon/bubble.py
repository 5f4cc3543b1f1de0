"""Speech bubbles and captions, with strokes that look like lettering."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from colorflow.toon.brush import WHITE, Brush
from colorflow.toon.geometry import circle, move, points

Rect = tuple[float, float, float, float]

GLYPHS = (
    ((0, 1), (0.5, 0), (1, 1)),
    ((0, 0), (0, 1), (1, 1)),
    ((1, 0), (0, 0), (0, 1), (1, 1)),
    ((0, 1), (0, 0), (1, 1), (1, 0)),
    ((0, 0), (1, 0), (0.5, 0), (0.5, 1)),
    ((0, 0), (0.5, 1), (1, 0)),
    ((1, 0), (0, 0.3), (1, 0.7), (0, 1)),
    ((0, 1), (0, 0), (1, 0), (1, 1)),
    ((0.5, 0), (0.5, 1)),
    ((0, 0), (1, 1), (0.5, 0.5), (1, 0), (0, 1)),
)
"""Strokes of invented letters in a unit cell: no font, no language."""


def place_bubble(
    rng: np.random.Generator, frame: Rect, heads: Sequence[Rect], blocked: Sequence[Rect], line: float
) -> Rect | None:
    """Find room for a bubble in a panel.

    Args:
        rng: Source of the size.
        frame: Usable box of the panel, canvas pixels.
        heads: Boxes of the heads, the speaker's first: no other may be nearer to the bubble.
        blocked: Boxes a bubble must not touch.
        line: Line width, canvas pixels.

    Returns:
        (left, top, right, bottom), or None where every place is taken.
    """
    left, top, right, bottom = frame
    middle, *others = (0.5 * (head[0] + head[2]) for head in heads)
    for shrink in (1.0, 0.85, 0.7):
        width = min(float(rng.uniform(0.36, 0.5)) * (right - left), 0.56 * (bottom - top)) * shrink
        height = min(width * float(rng.uniform(0.5, 0.66)), 0.3 * (bottom - top)) * shrink
        if height < 9 * line:
            return None
        above = min(max(middle - 0.5 * width, left), right - width)
        corners = (left, right - width) if middle - left < right - middle else (right - width, left)
        for y in (top, top + 0.12 * (bottom - top), top + 0.3 * (bottom - top)):
            for x in (above, *corners):
                rect = (x, y, x + width, y + height)
                own = abs(x + 0.5 * width - middle)
                lost = any(abs(x + 0.5 * width - other) < own for other in others)
                if not lost and not any(_touch(rect, other) for other in blocked):
                    return rect
    return None


def _touch(one: Rect, two: Rect) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def draw_bubble(rng: np.random.Generator, brush: Brush, rect: Rect, head: Rect) -> None:
    """Draw a bubble in ``rect`` whose tail points at ``head``."""
    left, top, right, bottom = rect
    cx, cy, rx, ry = 0.5 * (left + right), 0.5 * (top + bottom), 0.5 * (right - left), 0.5 * (bottom - top)
    shout = bool(rng.random() < 0.16)
    unit = circle(28 if shout else 40)
    body = np.round(np.sign(unit) * np.abs(unit) ** 0.72, 6) * (rx, ry)
    if shout:
        body = body * np.where(np.arange(28)[:, None] % 2, 1.1, 0.9)
    body = move(body, cx, cy)
    tx, ty = 0.5 * (head[0] + head[2]), head[1] + 0.62 * (head[3] - head[1])
    dx, dy = tx - cx, ty - cy
    reach = max(1e-6, float(np.sqrt(dx * dx + dy * dy)))
    ux, uy = dx / reach, dy / reach
    edge = 1.0 / float(np.sqrt((ux / rx) * (ux / rx) + (uy / ry) * (uy / ry)))
    stop = min(edge + 0.75 * ry, edge + 0.55 * max(0.0, reach - edge))
    base, inner = 0.24 * ry, 0.75 * edge
    tail = points(
        (cx + ux * inner - uy * base, cy + uy * inner + ux * base),
        (cx + ux * stop, cy + uy * stop),
        (cx + ux * inner + uy * base, cy + uy * inner - ux * base),
    )
    brush.shape(tail, WHITE)
    brush.shape(body, WHITE)
    brush.fill(tail, WHITE, 0.5)
    _letter(rng, brush, (cx - 0.74 * rx, cy - 0.66 * ry, cx + 0.74 * rx, cy + 0.66 * ry))


def draw_caption(rng: np.random.Generator, brush: Brush, rect: Rect) -> None:
    """Draw a caption box with a line or two of lettering."""
    left, top, right, bottom = rect
    brush.shape(points((left, top), (right, top), (right, bottom), (left, bottom)), WHITE)
    pad = 0.2 * (bottom - top)
    _letter(rng, brush, (left + pad, top + pad, right - pad, bottom - pad))


def _letter(rng: np.random.Generator, brush: Brush, rect: Rect) -> None:
    """Fill a box with centred rows of invented letters."""
    left, top, right, bottom = rect
    cell = 4.2 * brush.line
    rows = max(1, min(3, int((bottom - top) / (1.75 * cell))))
    pitch = (bottom - top) / rows
    for row in range(rows):
        room = (right - left) * (1.0 if rows < 3 or row == 1 else 0.8)
        count = max(2, int(room / (0.98 * cell) * float(rng.uniform(0.8, 1.0))))
        x, y = 0.5 * (left + right) - 0.5 * count * 0.98 * cell, top + pitch * (row + 0.5) - 0.5 * cell
        space = int(rng.integers(2, 6))
        for k in range(count):
            space -= 1
            if space == 0 and 0 < k < count - 1:
                space = int(rng.integers(3, 6))
                continue
            glyph = points(*GLYPHS[int(rng.integers(len(GLYPHS)))]) * (0.62 * cell, cell)
            brush.scratch(move(glyph, x + k * 0.98 * cell, y), 0.72)
