"""Pictures side by side: rows of titled cells, and mosaics of several pages in one cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

T = TypeVar("T")
Size = tuple[int, int]

CELL_HEIGHT = 300
"""Height of a page in strip.png, pixels."""

_GAP = 12
_HEADER = 34
_FOOTER = 22
_INK, _FAINT, _PAPER, _FRAME = "#1b1f24", "#6a737d", "#ffffff", "#d0d7de"
_MAX_REFERENCES = 4


@dataclass(frozen=True)
class StripCell:
    """One picture of a strip.

    Attributes:
        key: File stem: ``input``, ``references``, a row name, or ``truth``.
        title: Column heading.
        image: None where the method has no such page.
        note: Small text below.
    """

    key: str
    title: str
    image: Image.Image | None
    note: str = ""


def spread(items: Sequence[T], limit: int) -> list[T]:
    """Choose up to ``limit`` items evenly: nothing is picked for its result."""
    limit = min(limit, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def mosaic(pages: Sequence[Image.Image], size: Size) -> Image.Image:
    """Lay up to four reference pages, evenly taken, out on a transparent RGBA picture of ``size``."""
    chosen = spread(pages, _MAX_REFERENCES)
    picture = Image.new("RGBA", size)
    gap = max(2, min(size) // 40)
    grids = [_grid(chosen, size, across, gap) for across in range(1, len(chosen) + 1)]
    for page, left, top in max(
        grids, key=lambda grid: sum(page.width * page.height for page, _, _ in grid), default=[]
    ):
        picture.paste(page, (left, top))
    return picture


def _grid(pages: Sequence[Image.Image], size: Size, across: int, gap: int) -> list[tuple[Image.Image, int, int]]:
    """Lay pages out in rows of ``across``, each scaled into an equal cell: (page, left, top)."""
    down = -(-len(pages) // across)
    cell = (max(1, (size[0] - gap * (across - 1)) // across), max(1, (size[1] - gap * (down - 1)) // down))
    placed = []
    for number, page in enumerate(pages):
        row, column = divmod(number, across)
        lacking = across - min(across, len(pages) - row * across)
        left = column * (cell[0] + gap) + lacking * (cell[0] + gap) // 2
        fitted = contain(page, cell)
        placed.append(
            (fitted, left + (cell[0] - fitted.width) // 2, row * (cell[1] + gap) + (cell[1] - fitted.height) // 2)
        )
    return placed


def contain(image: Image.Image, size: Size) -> Image.Image:
    """Scale an image to the largest size that fits into ``size``, aspect kept."""
    scale = min(size[0] / image.width, size[1] / image.height)
    fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(fitted, Image.Resampling.LANCZOS)


def strip_size(rows: Sequence[Sequence[StripCell]], height: int = CELL_HEIGHT) -> Size:
    """Size of ``draw_strip``'s picture."""
    width = _cell_width(rows, height)
    columns = max(len(row) for row in rows)
    return columns * (width + _GAP) + _GAP, _HEADER + len(rows) * (height + _FOOTER + _GAP) + _GAP


def draw_strip(rows: Sequence[Sequence[StripCell]], height: int = CELL_HEIGHT) -> Image.Image:
    """Draw one row a page, titles above the columns, notes below the pictures.

    Args:
        rows: Cells of each page, the same columns in every row.
        height: Height of a picture.

    Returns:
        An RGB image of ``strip_size``.
    """
    width = _cell_width(rows, height)
    picture = Image.new("RGB", strip_size(rows, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    for column, cell in enumerate(rows[0]):
        center = (_GAP + column * (width + _GAP) + width // 2, _GAP + (_HEADER - _GAP) // 2)
        _write(draw, center, cell.title, 15, _INK, width + _GAP // 2)
    for number, row in enumerate(rows):
        top = _HEADER + number * (height + _FOOTER + _GAP)
        for column, cell in enumerate(row):
            left = _GAP + column * (width + _GAP)
            _paste(picture, cell.image, (left, top, left + width, top + height))
            _write(draw, (left + width // 2, top + height + _FOOTER // 2 + 2), cell.note, 12, _FAINT, width)
    return picture


def _paste(picture: Image.Image, image: Image.Image | None, box: tuple[int, int, int, int]) -> None:
    """Put an image into the middle of a box, framed unless it is a mosaic; a cross where there is none."""
    draw = ImageDraw.Draw(picture)
    if image is None:
        draw.rectangle(box, outline=_FRAME)
        draw.line(box, fill=_FRAME)
        _write(draw, ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2), "missing", 13, _FAINT, box[2] - box[0])
        return
    fitted = contain(image, (box[2] - box[0], box[3] - box[1]))
    left = box[0] + (box[2] - box[0] - fitted.width) // 2
    top = box[1] + (box[3] - box[1] - fitted.height) // 2
    if fitted.mode == "RGBA":
        picture.paste(fitted, (left, top), fitted)
        return
    picture.paste(fitted, (left, top))
    draw.rectangle((left - 1, top - 1, left + fitted.width, top + fitted.height), outline=_FRAME)


def _write(draw: ImageDraw.ImageDraw, center: tuple[int, int], text: str, size: int, fill: str, width: int) -> None:
    """Write a line centred at a point, smaller where it would not fit, on two lines where even that fails."""
    for candidate in range(size, max(8, size - 4) - 1, -1):
        font = ImageFont.load_default(candidate)
        if draw.textlength(text, font=font) <= width:
            draw.text(center, text, font=font, fill=fill, anchor="mm")
            return
    words = text.split(" ")
    halves = [" ".join(words[: (len(words) + 1) // 2]), " ".join(words[(len(words) + 1) // 2 :])]
    font = ImageFont.load_default(max(8, size - 4))
    for line, offset in zip(halves, (-7, 7), strict=True):
        draw.text((center[0], center[1] + offset), line, font=font, fill=fill, anchor="mm")


def _cell_width(rows: Sequence[Sequence[StripCell]], height: int) -> int:
    """The widest page of the strip decides, between half of and one and a half times the height."""
    aspects = [row[-1].image.width / row[-1].image.height for row in rows if row[-1].image is not None]
    return round(height * min(1.5, max(0.5, *aspects, 0.5)))
