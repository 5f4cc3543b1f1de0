"""What the whole pipeline hands back for a page."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

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
