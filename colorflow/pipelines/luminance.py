"""The page's own luminance under the model's colour."""

from __future__ import annotations

from PIL import Image

from colorflow.canvas import fit_box


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
