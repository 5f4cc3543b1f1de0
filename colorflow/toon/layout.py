"""Panels of a page: rows or columns of quadrilaterals with even gutters, sometimes an inset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colorflow.toon.geometry import Points, points

TEMPLATES = ((1, 1), (1, 2), (2, 1), (1, 1, 1), (2, 2), (1, 2, 1), (1, 1, 2), (2, 1, 1))
WEIGHTS = (0.16, 0.2, 0.2, 0.14, 0.1, 0.08, 0.06, 0.06)

MARGIN = 0.03
GUTTER = 0.026


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        corners: (4, 2) top left, top right, bottom right, bottom left; canvas pixels.
        inset: Lies on top of another panel.
        room: Share of the width, from and to, that no inset covers.
    """

    corners: Points
    inset: bool = False
    room: tuple[float, float] = (0.0, 1.0)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) around the corners."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def lay_out(rng: np.random.Generator, width: float, height: float, most: int) -> tuple[Panel, ...]:
    """Divide a page of ``width`` x ``height`` canvas pixels into at most ``most`` panels, two to four where it may."""
    across = width > 1.15 * height
    long, short = (width, height) if across else (height, width)
    side = min(width, height)
    weights = np.array([weight * (sum(rows) <= most) for rows, weight in zip(TEMPLATES, WEIGHTS, strict=True)])
    rows = TEMPLATES[int(rng.choice(len(TEMPLATES), p=weights / weights.sum()))] if most > 1 else (1,)
    shares = np.array([float(rng.uniform(0.85, 1.2)) for _ in rows])
    shares = np.round(shares / shares.sum(), 6)
    slanted = bool(rng.random() < 0.55)
    margin, gutter = MARGIN * side, GUTTER * side
    cuts = margin + np.concatenate([[0.0], np.cumsum(shares)]) * (long - 2 * margin)
    tilt = [float(rng.uniform(-0.045, 0.045)) * side * slanted for _ in rows]
    panels = []
    for k, count in enumerate(rows):
        top = (0.0, 0.0) if k == 0 else (tilt[k - 1], -tilt[k - 1])
        bottom = (0.0, 0.0) if k == len(rows) - 1 else (tilt[k], -tilt[k])
        low, high = cuts[k] + 0.5 * gutter * (k > 0), cuts[k + 1] - 0.5 * gutter * (k < len(rows) - 1)
        edges = (low + top[0], low + top[1], high + bottom[0], high + bottom[1])
        panels += _split_row(rng, edges, margin, short - margin, count, gutter, slanted)
    if across:
        panels = [panel[:, ::-1][[0, 3, 2, 1]] for panel in panels]
    laid = [Panel(panel) for panel in panels]
    hosts = [k for k, panel in enumerate(laid) if _aspect(panel) > 0.95]
    if len(laid) < most and hosts and rng.random() < 0.3:
        host = hosts[int(rng.integers(len(hosts)))]
        laid[host], inset = _inset(rng, laid[host], side)
        laid.append(inset)
    return tuple(laid)


def _aspect(panel: Panel) -> float:
    left, top, right, bottom = panel.box
    return (right - left) / (bottom - top)


def _split_row(
    rng: np.random.Generator,
    edges: tuple[float, float, float, float],
    left: float,
    right: float,
    count: int,
    gutter: float,
    slanted: bool,
) -> list[Points]:
    """Panels of a row whose top and bottom run between ``edges`` (top left, top right, bottom left, bottom right)."""
    y0, y1, y2, y3 = edges

    def corner(x: float, start: float, end: float) -> tuple[float, float]:
        return x, start + (end - start) * (x - left) / (right - left)

    if count == 1:
        return [points((left, y0), (right, y1), (right, y3), (left, y2))]
    middle = left + (right - left) * float(rng.uniform(0.42, 0.58))
    lean = float(rng.uniform(-0.05, 0.05)) * (right - left) * slanted
    half = 0.5 * gutter
    a, b = corner(middle + lean - half, y0, y1), corner(middle - lean - half, y2, y3)
    c, d = corner(middle + lean + half, y0, y1), corner(middle - lean + half, y2, y3)
    return [points((left, y0), a, b, (left, y2)), points(c, (right, y1), (right, y3), d)]


def _inset(rng: np.random.Generator, host: Panel, side: float) -> tuple[Panel, Panel]:
    """The host, told to keep a side free, and a small panel in the lower corner of that side."""
    left, top, right, bottom = host.box
    size = min(0.36 * (right - left), 0.56 * (bottom - top))
    gap = 0.03 * side
    on_left = bool(rng.random() < 0.5)
    x = left + gap if on_left else right - gap - size
    y = bottom - gap - size - 0.045 * side
    covered = (size + 2 * gap) / (right - left)
    corners = points((x, y), (x + size, y), (x + size, y + size), (x, y + size))
    return Panel(host.corners, room=(covered, 1.0) if on_left else (0.0, 1.0 - covered)), Panel(corners, inset=True)
