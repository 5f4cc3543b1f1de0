"""Outlined shapes on an index map.

Everything is drawn once, as palette indices on a finer grid: colours, lines and labels are then
three readings of one map and cannot disagree. An outlined shape is two polygon fills: the shape
grown by half a line in ink, then shrunk by half a line in its colour.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from colorflow.toon.geometry import Points, direction, grow, outward, points, tube

PAPER, INK, SOFT_INK, WHITE = 0, 1, 2, 3
FIRST_PART = 10
FIRST_SCENE = 64
SCENE_SLOTS = 8


class Brush:
    """Draws in a frame of its own: figure, head or scene units in, pixels out.

    Args:
        canvas: "L" image that holds palette indices.
        line: Line width in canvas pixels.
        origin: Where (0, 0) of the frame lies, canvas pixels.
        scale: Canvas pixels a unit.
        mirror: -1.0 flips left and right, 1.0 does not.
        degrees: Turn of the frame, before it is flipped.
    """

    def __init__(
        self,
        canvas: Image.Image,
        line: float,
        origin: tuple[float, float] = (0.0, 0.0),
        scale: float = 1.0,
        mirror: float = 1.0,
        degrees: float = 0.0,
    ) -> None:
        self.canvas = canvas
        self.line = line
        self._origin = np.array(origin)
        self.scale = scale
        self.mirror = mirror
        self.degrees = degrees
        cos, sin = direction(degrees)
        self._along = np.array([cos * scale * mirror, cos * scale]) * 256.0
        self._across = np.array([-sin * scale * mirror, sin * scale]) * 256.0 if sin else None
        self.drawn: list[Points] = []
        self._draw = ImageDraw.Draw(canvas)

    def frame(self, x: float, y: float, scale: float, degrees: float = 0.0) -> Brush:
        """A brush whose (0, 0) is (x, y) of this one, scaled and turned; extents are shared."""
        center = self.place(points((x, y)))[0]
        origin, turned = (float(center[0]), float(center[1])), self.degrees + degrees
        inner = Brush(self.canvas, self.line, origin, self.scale * scale, self.mirror, turned)
        inner.drawn = self.drawn
        return inner

    def place(self, shape: Points) -> Points:
        """Frame units (N, 2) to canvas pixels."""
        pixels = shape * self._along
        if self._across is not None:
            pixels += shape[:, ::-1] * self._across
        return np.rint(pixels) * (1.0 / 256.0) + self._origin

    def shape(self, outline: Points, fill: int, line: float = 1.0, ink: int = INK) -> None:
        """Fill a closed outline (N, 2) and draw its line, ``line`` times the usual width.

        The line is heavier where it faces down, as from a pen.
        """
        pixels = self.place(outline)
        step = outward(pixels)
        width = 0.5 * self.line * line
        weight = width + 0.5 * width * np.maximum(0.0, step[:, 1:])
        self._polygon(pixels + step * weight, ink)
        self._polygon(pixels - step * width, fill)

    def fill(self, outline: Points, fill: int, shrink: float = 0.0) -> None:
        """Fill a closed outline (N, 2) without a line, ``shrink`` line widths smaller."""
        pixels = self.place(outline)
        self._polygon(grow(pixels, -shrink * self.line) if shrink else pixels, fill)

    def stroke(self, path: Points, width: float = 1.0, ink: int = INK) -> None:
        """Draw an open path (N, 2) as a line with round ends, ``width`` times the usual width."""
        self._polygon(tube(self.place(path), self.line * width, 3), ink)

    def scratch(self, path: Points, width: float = 1.0, ink: int = INK) -> None:
        """Draw an open path (N, 2) as a plain line: cheaper, for lettering."""
        pixels = np.rint(self.place(path)).ravel().tolist()
        self._draw.line(pixels, fill=ink, width=max(1, int(self.line * width + 0.5)))

    def dot(self, x: float, y: float, radius: float, fill: int) -> None:
        """Fill a circle without a line."""
        center = self.place(points((x, y)))[0]
        reach = radius * self.scale
        corners = [center[0] - reach, center[1] - reach, center[0] + reach, center[1] + reach]
        self._draw.ellipse([round(float(v)) for v in corners], fill=fill)

    def rect(self, box: tuple[float, float, float, float], fill: int, line: float = 0.0, ink: int = INK) -> None:
        """Fill an upright (left, top, right, bottom), with a line inside it where ``line`` is above 0."""
        corners = self.place(points(box[:2], box[2:])).ravel().tolist()
        pixels = [round(v) for v in corners]
        width = max(1, int(self.line * line + 0.5)) if line else 0
        self._draw.rectangle(pixels, fill=fill, outline=ink, width=width)

    def _polygon(self, pixels: Points, fill: int) -> None:
        self.drawn.append(pixels)
        self._draw.polygon(np.rint(pixels).ravel().tolist(), fill=fill)

    def extent(self, start: int = 0) -> tuple[float, float, float, float]:
        """Canvas box of everything drawn since ``drawn`` held ``start`` outlines."""
        outlines = np.concatenate(self.drawn[start:])
        (left, top), (right, bottom) = outlines.min(axis=0).tolist(), outlines.max(axis=0).tolist()
        return left, top, right, bottom
