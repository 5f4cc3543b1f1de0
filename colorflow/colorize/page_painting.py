"""One page of a chapter: on a canvas of its own aspect, strips in pieces, the result at the page's own size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch import Tensor

from colorflow.canvas import ASPECT_LIMIT, Box, Size, fit_box
from colorflow.pipelines.attention import AttentionMap, AttentionSettings, attention_map, region_on_canvas
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.output import ColorFlowOutput, LookUp
from colorflow.schema import ReferencePool
from colorflow.utils.seeding import stable_seed

CanvasChoice = Literal["page", "model"]
OnStep = Callable[[int, int], None]
"""Called with the steps done and their number: the denoising steps of every piece, and one for what follows them."""

_LENGTH = 0.8
"""Mean length of a strip's pieces, of the longest that a canvas takes: leaves room to move the cuts (our choice)."""

_REACH = 0.1
"""How far a cut may move to a gutter, of a piece's length, either way: pieces stay within 0.8 x 1.2 of the longest."""


@dataclass(frozen=True)
class Painted:
    """A coloured page.

    Attributes:
        image: The page's own size.
        pieces: Box on the page of what was coloured at once; one, of the whole page, but for strips.
        shown: What the model was shown for each: canvas and patches.
        attention: The map that was asked for.
        remarks: What is not as one would expect.
    """

    image: Image.Image
    pieces: tuple[Box, ...]
    shown: tuple[LookUp, ...]
    attention: AttentionMap | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """What is coloured at once: a page, or a part of a strip.

    Attributes:
        box: On the page.
        image: That part.
        pipeline: Has the canvas for it.
        seed: Its own.
    """

    box: Box
    image: Image.Image
    pipeline: ColorFlowPipeline
    seed: int


def page_pieces(
    pipeline: ColorFlowPipeline, page: Image.Image, seed: int, canvas: CanvasChoice = "page"
) -> list[Piece]:
    """Divide a page into what is coloured at once, in reading order; arguments as of `paint_page`."""
    boxes = cut_strip(page) if canvas == "page" else ((0, 0, *page.size),)
    pieces = []
    for number, box in enumerate(boxes):
        image = page.crop(box)
        fitting = pipeline.for_page(image.size) if canvas == "page" else pipeline
        pieces.append(Piece(box, image, fitting, stable_seed(seed, "piece", number) if number else seed))
    return pieces


def look_up_page(
    pipeline: ColorFlowPipeline, page: Image.Image, pool: ReferencePool, *, seed: int, canvas: CanvasChoice = "page"
) -> list[LookUp]:
    """What `paint_page` would show the model for each piece of a page; arguments as there."""
    pieces = page_pieces(pipeline, page, seed, canvas)
    return [piece.pipeline.look_up(piece.image, pool, seed=piece.seed) for piece in pieces]


def paint_page(
    pipeline: ColorFlowPipeline,
    page: Image.Image,
    pool: ReferencePool,
    *,
    seed: int,
    canvas: CanvasChoice = "page",
    attention: AttentionSettings | None = None,
    watch: OnStep | None = None,
) -> Painted:
    """Colour a page at its own size.

    Args:
        pipeline: Colours what fits a canvas.
        page: The page; only its luminance is used.
        pool: Coloured pages.
        seed: Of the page; later pieces of a strip derive theirs from it.
        canvas: See `colorflow.colorize.chapter_run.ColorizeOptions`.
        attention: Also record this map, of a page that is not cut.
        watch: Called as the page gets on, unless a map is recorded; what it raises ends the page.
    """
    pieces = page_pieces(pipeline, page, seed, canvas)
    whole, found = page.convert("L").convert("RGB"), None
    shown: list[LookUp] = []
    remarks: list[str] = []
    for number, piece in enumerate(pieces):
        size = piece.pipeline.page_size
        remarks += _cropped(piece.image.size, size)
        refusal = None if attention is None else _refusal(attention, page.size, size, len(pieces))
        if attention is None or refusal is not None:
            output = _paint(piece, pool, watch, number, len(pieces))
        else:
            found = attention_map(piece.pipeline, piece.image, pool, attention, seed=piece.seed)
            output = found.output
        remarks += [refusal] if refusal is not None and number == 0 else []
        whole.paste(at_own_size(output.image, piece.image), piece.box[:2])
        shown.append(LookUp(output.canvas, output.retrieved))
    boxes = tuple(piece.box for piece in pieces)
    return Painted(whole, boxes, tuple(shown), found, tuple(remarks))


def _paint(piece: Piece, pool: ReferencePool, watch: OnStep | None, number: int, count: int) -> ColorFlowOutput:
    if watch is None:
        return piece.pipeline(piece.image, pool, seed=piece.seed)
    each = piece.pipeline.sampling.steps + 1

    def after_step(pipe: Any, index: int, timestep: int, tensors: dict[str, Tensor]) -> None:
        watch(number * each + index + 1, count * each)

    watch(number * each, count * each)
    output = piece.pipeline(piece.image, pool, seed=piece.seed, callback_on_step_end=after_step)
    watch((number + 1) * each, count * each)
    return output


def cut_strip(page: Image.Image, limit: float = ASPECT_LIMIT) -> tuple[Box, ...]:
    """Cut a page that is longer than ``limit`` times its width (or wider) across its length.

    A canvas of so extreme an aspect would show only slivers of the references. A cut lies where the picture is most
    even near the place that gives equal pieces: in a gutter, where there is one.

    Returns:
        Boxes of the pieces in reading order, at most ``limit`` times as long as wide; one for other pages.
    """
    length, breadth = max(page.size), min(page.size)
    if length <= limit * breadth:
        return ((0, 0, *page.size),)
    upright = page.height > page.width
    levels = np.asarray(page.convert("L"), np.float32)
    evenness = levels.std(axis=1 if upright else 0).round()  # of every row across: rows as even as each other are equal
    count = ceil(length / (_LENGTH * limit * breadth))
    reach = int(_REACH * length / count)
    cuts = [0]
    for number in range(1, count):
        middle = round(number * length / count)
        near = sorted(range(middle - reach, middle + reach + 1), key=lambda row: abs(row - middle))
        cuts.append(min(near, key=lambda row: evenness[row]))
    ends = zip(cuts, [*cuts[1:], length], strict=True)
    return tuple((0, low, breadth, high) if upright else (low, 0, high, breadth) for low, high in ends)


def at_own_size(result: Image.Image, page: Image.Image) -> Image.Image:
    """A result of the canvas's size (without GSRP) at the size of its page; what the canvas did not show is gray."""
    if result.size == page.size:
        return result
    left, top, right, bottom = fit_box(page.size, result.size)
    whole = page.convert("L").convert("RGB")
    whole.paste(result.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return whole


def _cropped(page: Size, canvas: Size) -> list[str]:
    left, top, right, bottom = fit_box(page, canvas)
    share = (right - left) * (bottom - top) / (page[0] * page[1])
    if share == 1:
        return []
    return [
        f"the model's canvas shows and colours {share:.0%} of this page of {page[0]} x {page[1]}, the rest stays gray; "
        "options.canvas=page takes a canvas of its aspect"
    ]


def _refusal(attention: AttentionSettings, page: Size, canvas: Size, pieces: int) -> str | None:
    """Why a page has no map; None where it has one."""
    if pieces > 1:
        return f"no attention map: the page is coloured in {pieces} pieces; ask for one of a page that is not a strip"
    try:
        region_on_canvas(attention.region, page, canvas)
    except ValueError as error:
        return f"no attention map: {error}"
    return None
