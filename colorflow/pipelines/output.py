"""What the whole pipeline hands back for a page."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from colorflow.canvas import fit_box
from colorflow.schema import RetrievedPatch


@dataclass(frozen=True)
class ColorFlowOutput:
    """A coloured page and how it came about.

    Attributes:
        image: The coloured page, the page's own size (1.5W x 1.5H with the recipe's ``released_pages``); W x H without
            GSRP and ``keep_luminance``.
        canvas: What the model was shown, 2W x 2H.
        low_res: What it answered for the page, W x H; what GSRP was given.
        retrieved: The patches on the canvas, with their similarities.
        result_canvas: What it answered, 2W x 2H, where the recipe decodes that (``decode_margin=None``).
    """

    image: Image.Image
    canvas: Image.Image
    low_res: Image.Image
    retrieved: tuple[RetrievedPatch, ...]
    result_canvas: Image.Image | None = None


@dataclass(frozen=True)
class LookUp:
    """What a model would be shown for a page.

    Attributes:
        canvas: See `ColorFlowOutput`.
        retrieved: Likewise.
    """

    canvas: Image.Image
    retrieved: tuple[RetrievedPatch, ...]


def with_luminance(result: Image.Image, page: Image.Image) -> Image.Image:
    """The colour (Cb, Cr) of a result under the luminance of the page it was made of.

    Args:
        result: W x H, from a page that `fit_page` brought to that size, or of the page's own size.
        page: The page; what a centre crop left out stays gray.

    Returns:
        RGB, the size of ``page``.
    """
    left, top, right, bottom = fit_box(page.size, result.size)
    colour = Image.new("YCbCr", page.size, (128, 128, 128))
    shown = result.convert("YCbCr").resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    colour.paste(shown, (left, top))
    _, blue, red = colour.split()
    return Image.merge("YCbCr", (page.convert("L"), blue, red)).convert("RGB")
