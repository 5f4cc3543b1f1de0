"""Pages of a chapter: panels laid out in rows or columns, drawn, pasted, read off as colours, lines and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from colorflow.toon.brush import FIRST_PART, INK, PAPER, SOFT_INK, WHITE
from colorflow.toon.bubble import Rect
from colorflow.toon.colors import dice
from colorflow.toon.geometry import Points, grow, points
from colorflow.toon.spec import PARTS, Box, ToonCharacter, ToonPage, ToonSpec
from colorflow.toon.stage import Set, play
from colorflow.toon.world import PLACES, SOFT, World, make_world

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


LINE = 0.0062
"""Line width over the page's shorter side (1.6 pixels at 256: our choice)."""


def draw_chapter(seed: int, pages: int, spec: ToonSpec | None = None) -> list[ToonPage]:
    """Draw the first ``pages`` pages of the chapter ``seed``.

    Page k is the same however many pages are drawn.

    Raises:
        ValueError: ``pages`` is negative.
    """
    if pages < 0:
        raise ValueError(f"toon pages: expected 0 or more, got {pages}; ask for at least one page")
    spec = spec or ToonSpec()
    world = make_world(seed, spec)
    return [_draw_page(world, index, spec) for index in range(pages)]


def draw_page(seed: int, index: int, spec: ToonSpec | None = None) -> ToonPage:
    """Draw page ``index`` (from 0) of the chapter ``seed`` alone."""
    spec = spec or ToonSpec()
    return _draw_page(make_world(seed, spec), index, spec)


def _draw_page(world: World, index: int, spec: ToonSpec) -> ToonPage:
    rng = dice("toon-page", world.seed, index)
    fine = spec.supersample
    width, height = spec.size[0] * fine, spec.size[1] * fine
    line = max(float(fine), LINE * min(width, height))
    canvas = Image.new("L", (width, height), PAPER)
    panels = lay_out(rng, float(width), float(height), spec.max_panels)
    where = int(rng.integers(PLACES))
    characters: list[ToonCharacter] = []
    for number, panel in enumerate(panels):
        if number and rng.random() < 0.35:
            where = int(rng.integers(PLACES))
        stage_dice = dice("toon-panel", world.seed, index, number)
        scene = _open(panel, line)
        actors = play(scene, stage_dice, world, where, spec.bubbles)
        origin = _close(canvas, panel, scene, line)
        for actor in actors:
            box, head = (_shrink(_clip(part, scene.image.size, origin), spec) for part in (actor.box, actor.skull))
            characters.append(ToonCharacter(actor.id, number, box, head))
    boxes = tuple(_shrink(panel.box, spec) for panel in panels)
    return _develop(canvas, world, index, spec, boxes, tuple(characters))


def _open(panel: Panel, line: float) -> Set:
    """An empty image for a panel."""
    left, top, right, bottom = (int(v + 0.5) for v in panel.box)
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (panel.corners - (left, top)).tolist()
    gap = 0.045 * min(right - left, bottom - top) + line
    free = (panel.room[0] * (right - left), panel.room[1] * (right - left))
    frame = (max(x0, x3, free[0]) + gap, max(y0, y1) + gap, min(x1, x2, free[1]) - gap, min(y2, y3) - gap)
    return Set(Image.new("L", (right - left, bottom - top), WHITE), line, frame, panel.room, panel.inset)


def _close(page: Image.Image, panel: Panel, scene: Set, line: float) -> tuple[int, int]:
    """Paste a played panel into the page, with its border; return where."""
    origin = int(panel.box[0] + 0.5), int(panel.box[1] + 0.5)
    mask = Image.new("L", scene.image.size, 0)
    _polygon(mask, grow(panel.corners - origin, -0.5 * line), 255)
    if panel.inset:
        _polygon(page, grow(panel.corners, 3.6 * line), PAPER)
    _polygon(page, grow(panel.corners, 0.7 * line), INK)
    page.paste(scene.image, origin, mask)
    return origin


def _polygon(image: Image.Image, corners: Points, value: int) -> None:
    ImageDraw.Draw(image).polygon(np.rint(corners).ravel().tolist(), fill=value)


def _clip(box: Rect, size: tuple[int, int], origin: tuple[int, int]) -> Rect:
    left, right = (min(max(v, 0.0), float(size[0])) + origin[0] for v in (box[0], box[2]))
    top, bottom = (min(max(v, 0.0), float(size[1])) + origin[1] for v in (box[1], box[3]))
    return left, top, right, bottom


def _shrink(box: Rect, spec: ToonSpec) -> Box:
    """Canvas pixels to page pixels, rounded outwards and clipped to the page."""
    left, top = (max(0, int(v // spec.supersample)) for v in box[:2])
    right, bottom = (min(limit, int(-(-v // spec.supersample))) for v, limit in zip(box[2:], spec.size, strict=True))
    return left, top, right, bottom


def _develop(
    canvas: Image.Image,
    world: World,
    index: int,
    spec: ToonSpec,
    panels: tuple[Box, ...],
    characters: tuple[ToonCharacter, ...],
) -> ToonPage:
    """Read colours, lines and labels off the index map."""
    fine = spec.supersample
    lines = canvas.point([0 if k == INK else SOFT if k == SOFT_INK else 255 for k in range(256)])
    last = FIRST_PART + len(world.cast) * len(PARTS)
    middle = np.asarray(canvas)[fine // 2 :: fine, fine // 2 :: fine]
    labels = np.where((middle >= FIRST_PART) & (middle < last), middle - (FIRST_PART - 1), 0).astype(np.uint8)
    canvas.putpalette([channel for color in world.palette for channel in color])
    color = canvas.convert("RGB")
    if fine > 1:
        color, lines = color.reduce(fine), lines.reduce(fine)
    return ToonPage(color, lines, labels, panels, characters, world.colors, index, canvas)
