"""The paper's Fig. 9 as one picture: the map of each encoder's embeddings, in colour and in gray, and whom dots show.

Drawn on paper of its own, so that it reads on light and dark pages alike; at twice the size and then reduced.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from colorflow.evaluation.retrieval_study.accuracy import Accuracy
from colorflow.utils.strips import contain

_FINE = 2
_PANEL, _THUMB, _RING = 560 * _FINE, 38 * _FINE, 3 * _FINE
_GAP, _HEAD, _LEGEND_THUMB, _LEGEND_LINE = 20 * _FINE, 40 * _FINE, 34 * _FINE, 62 * _FINE
_INK, _FAINT, _PAPER, _CARD, _FRAME, _WRONG = "#1b1f24", "#59636e", "#f6f8fa", "#ffffff", "#d0d7de", "#d1242f"
_LEGEND_COLUMNS = 5


@dataclass(frozen=True, eq=False)
class Panel:
    """One map.

    Attributes:
        heading: Line above it.
        places: ``(N, 2)`` in [0, 1].
        images: The N pictures as they were embedded.
        accuracy: What each of them found.
    """

    heading: str
    places: NDArray[np.float64]
    images: tuple[Image.Image, ...]
    accuracy: Accuracy


def draw_figure(panels: Sequence[tuple[Panel, Panel]]) -> Image.Image:
    """Draw a row of two panels for each encoder, and a legend below.

    Raises:
        ValueError: For no panels.
    """
    if not panels:
        raise ValueError("draw_figure: expected panels of at least one encoder, got none")
    names = list(dict.fromkeys(panels[0][0].accuracy.characters))
    legend = _HEAD + _LEGEND_LINE * -(-len(names) // _LEGEND_COLUMNS)
    size = (2 * _PANEL + 3 * _GAP, len(panels) * (_HEAD + _PANEL + _GAP) + legend + _GAP)
    picture = Image.new("RGB", size, _PAPER)
    for row, pair in enumerate(panels):
        for column, panel in enumerate(pair):
            corner = (_GAP + column * (_PANEL + _GAP), _GAP + row * (_HEAD + _PANEL + _GAP))
            _draw_panel(picture, panel, corner, names)
    _draw_legend(picture, panels[0][0], names, size[1] - legend)
    return picture.reduce(_FINE)


def character_color(number: int, count: int) -> tuple[int, int, int]:
    """A colour of its own for a character: hues evenly apart, neighbours of different lightness."""
    red, green, blue = colorsys.hls_to_rgb(number / count, 0.36 if number % 2 else 0.58, 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_panel(picture: Image.Image, panel: Panel, corner: tuple[int, int], names: Sequence[str]) -> None:
    draw = ImageDraw.Draw(picture)
    left, top = corner[0], corner[1] + _HEAD
    _write(draw, (left, corner[1] + _HEAD // 2), panel.heading, 16, _INK, _PANEL)
    draw.rounded_rectangle(
        (left, top, left + _PANEL, top + _PANEL), 10 * _FINE, fill=_CARD, outline=_FRAME, width=_FINE
    )
    room = _PANEL - _THUMB - 2 * _GAP
    found = [nearest[0] for nearest in panel.accuracy.hits]
    for number in sorted(range(len(found)), key=lambda one: not found[one]):  # the wrong ones last: above the others
        x, y = (panel.places[number] * room).round().astype(int) + _GAP + _THUMB // 2
        who = names.index(panel.accuracy.characters[number])
        color = character_color(who, len(names))
        _draw_thumbnail(picture, panel.images[number], (left + int(x), top + int(y)), color, _THUMB)
        if not found[number]:
            _draw_cross(draw, (left + int(x) + _THUMB // 2, top + int(y) - _THUMB // 2))


def _draw_thumbnail(
    picture: Image.Image, image: Image.Image, center: tuple[int, int], color: tuple[int, int, int], side: int
) -> None:
    """The picture in a frame of its character's colour."""
    small = contain(image, (side, side))
    left, top = center[0] - small.width // 2, center[1] - small.height // 2
    box = (left - _RING, top - _RING, left + small.width + _RING - 1, top + small.height + _RING - 1)
    ImageDraw.Draw(picture).rounded_rectangle(box, _RING, fill=color)
    picture.paste(small, (left, top))


def _draw_cross(draw: ImageDraw.ImageDraw, center: tuple[int, int]) -> None:
    """Red on white: the nearest candidate of this picture shows another character."""
    (x, y), arm, width = center, 3 * _FINE, 2 * _FINE
    radius = 6 * _FINE
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_WRONG, outline=_CARD, width=_FINE)
    for sign in (1, -1):
        draw.line((x - arm, y - sign * arm, x + arm, y + sign * arm), fill=_CARD, width=width)


def _draw_legend(picture: Image.Image, panel: Panel, names: Sequence[str], top: int) -> None:
    """A picture and the name of each character."""
    draw = ImageDraw.Draw(picture)
    _draw_cross(draw, (_GAP + 7 * _FINE, top + _HEAD // 2))
    text = "the nearest colour picture of another page shows another character; frames tell who is who:"
    _write(draw, (_GAP + 20 * _FINE, top + _HEAD // 2), text, 14, _FAINT, 2 * _PANEL)
    width = (2 * _PANEL + _GAP) // _LEGEND_COLUMNS
    for number, name in enumerate(names):
        column, line = number % _LEGEND_COLUMNS, number // _LEGEND_COLUMNS
        x = _GAP + column * width + _LEGEND_THUMB // 2 + _RING
        y = top + _HEAD + line * _LEGEND_LINE + _LEGEND_THUMB // 2 + _RING
        image = panel.images[panel.accuracy.characters.index(name)]
        _draw_thumbnail(picture, image, (x, y), character_color(number, len(names)), _LEGEND_THUMB + 10 * _FINE)
        _write(draw, (x + _LEGEND_THUMB, y), name, 14, _INK, width - 2 * _LEGEND_THUMB)


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, fill: str, width: int) -> None:
    """A line that starts at ``place`` (left, middle), smaller where it would not fit."""
    for candidate in range(size * _FINE, 8 * _FINE, -1):
        font = ImageFont.load_default(candidate)
        if draw.textlength(text, font) <= width:
            break
    draw.text(place, text, fill=fill, font=font, anchor="lm")
