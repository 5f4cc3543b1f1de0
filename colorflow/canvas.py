"""The geometry of in-context colorization: pages, patches, slots, mask and training window.

Pure functions on PIL images; every size is (width, height), every box (left, top, right, bottom)
with the last two exclusive. Facts: the paper's section 3.1 and 3.2; sizes, orders and rounding are
those of the released code, and held by the parity fixtures ``a_*``. The canvas of a W x H page is
2W x 2H: the query in the middle, twelve slots of W/2 x H/2 around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log, sqrt

import torch
from PIL import Image
from torch import Tensor

from colorflow.schema import QUADRANTS, RANKS

Size = tuple[int, int]
Box = tuple[int, int, int, int]

PATCHES_PER_PAGE = 5
"""Views of a reference page: the whole page, then TL, TR, BL, BR."""

STRETCH_LIMIT = 0.15
"""Relative aspect difference below which a page is stretched and not cropped (released code)."""

ASPECT_LIMIT = 2.0
"""Aspect up to which, either way, a canvas follows a page (our choice; the released demo's sizes reach 1.56)."""

# (row, column) of each slot on the 4 x 4 grid of half pages, ranks 0 to 2 for TL, TR, BL, BR: the best
# match adjoins the query horizontally, the second vertically, the third takes the corner (released code).
_CELLS = (
    ((1, 0), (0, 1), (0, 0)),
    ((1, 3), (0, 2), (0, 3)),
    ((2, 0), (3, 1), (3, 0)),
    ((2, 3), (3, 2), (3, 3)),
)
_MASK_ASSET_SIDE = 512


def fit_page(image: Image.Image, size: Size) -> Image.Image:
    """Bring a page to a size: stretched where the aspect is close, else centre-cropped first.

    Args:
        image: Any mode; the conversion to RGB comes after the resize, as released.
        size: Target size.

    Returns:
        An RGB image of exactly that size.
    """
    return image.crop(fit_box(image.size, size)).resize(size, Image.Resampling.BICUBIC).convert("RGB")


def fit_box(page: Size, size: Size) -> Box:
    """The part of a page that `fit_page` shows: all of it where it is stretched, else the centre crop."""
    (width, height), (target_width, target_height) = page, size
    ratio, target_ratio = width / height, target_width / target_height
    if abs(ratio - target_ratio) / target_ratio < STRETCH_LIMIT:
        return 0, 0, width, height
    if ratio > target_ratio:
        crop = (max(1, int(height * target_ratio)), height)
    else:
        crop = (width, max(1, int(width / target_ratio)))
    left, top = (width - crop[0]) // 2, (height - crop[1]) // 2
    return left, top, left + crop[0], top + crop[1]


def matching_size(page: Size, model: Size, multiple: int) -> Size:
    """Choose the page size (W, H) on the canvas for a page's own aspect, at about the cost of the model's size.

    Of the four sizes around the one of equal area, the nearest in aspect: each side differs from it by less than one
    ``multiple``. What remains of a difference is stretched by `fit_page`. A page more extreme than `ASPECT_LIMIT` gets
    a canvas of that limit, of which `fit_page` shows the centre: the slots of the references have the aspect of the
    canvas, and would show only a sliver of theirs.

    Args:
        page: Size of the page, any.
        model: Page size the model was trained at.
        multiple: What both sides are multiples of: twice the VAE's factor lets the query begin on a latent pixel.

    Returns:
        The model's own size for a page of its aspect, where that is a multiple.

    Raises:
        ValueError: For sizes under 1.
    """
    if min(*page, *model, multiple) < 1:
        raise ValueError(f"matching_size: expected sizes of at least 1, got {page}, {model} and multiple {multiple}")
    aspect = min(max(page[0] / page[1], 1 / ASPECT_LIMIT), ASPECT_LIMIT)
    area = model[0] * model[1] / multiple**2
    width, height = sqrt(area * aspect), sqrt(area / aspect)
    sizes = [(w, h) for w in _neighbours(width) for h in _neighbours(height)]
    best = min(sizes, key=lambda size: (round(abs(log(size[0] / size[1] / aspect)), 6), abs(log(size[0] / width))))
    return best[0] * multiple, best[1] * multiple


def _neighbours(side: float) -> tuple[int, int]:
    """The integers below and above; those at and above where it is one, up to rounding."""
    low = max(1, floor(side + 1e-9))
    return low, low + 1


def query_patches(page: Image.Image) -> list[Image.Image]:
    """Cut a W x H page into its four overlapping patches of three quarters a side: TL, TR, BL, BR."""
    step_x, step_y = page.width // 4, page.height // 4
    corners = ((column * step_x, row * step_y) for row in range(2) for column in range(2))
    return [page.crop((left, top, left + 3 * step_x, top + 3 * step_y)) for left, top in corners]


def reference_patches(page: Image.Image) -> list[Image.Image]:
    """Return the five views of a W x H reference page: the whole page, then TL, TR, BL, BR."""
    return [page, *query_patches(page)]


def canvas_size(size: Size) -> Size:
    """Return the canvas size (2W, 2H) of a page size.

    Raises:
        ValueError: For sides that are odd or under 8: the grid is made of half pages.
    """
    width, height = size
    if min(size) < 8 or width % 2 or height % 2:
        raise ValueError(
            f"canvas: expected an even page width and height of at least 8, got {width} x {height}; "
            "choose a page size that is a multiple of 16"
        )
    return 2 * width, 2 * height


def query_box(size: Size) -> Box:
    """Return where the query lies on the canvas: the central W x H."""
    (width, height), _ = size, canvas_size(size)
    return width // 2, height // 2, width // 2 + width, height // 2 + height


def slot_box(size: Size, quadrant: int, rank: int) -> Box:
    """Return the interior of a slot on the canvas, without its 1-pixel white border.

    Args:
        size: Page size (W, H).
        quadrant: 0 to 3 (TL, TR, BL, BR), the query patch the slot belongs to.
        rank: 0 to 2, best match first.

    Raises:
        ValueError: For a quadrant or rank outside these ranges.
    """
    if not (0 <= quadrant < len(QUADRANTS) and 0 <= rank < RANKS):
        raise ValueError(f"slot_box: expected quadrant 0 to 3 and rank 0 to 2, got {quadrant} and {rank}")
    left, top, right, bottom = _cell_box(size, quadrant, rank)
    return left + 1, top + 1, right - 1, bottom - 1


def stitch(query: Image.Image, patches: Mapping[tuple[int, int], Image.Image]) -> Image.Image:
    """Lay the query and its reference patches out on a white canvas.

    Args:
        query: The W x H page, any mode.
        patches: Image for each ``(quadrant, rank)``, any size; slots that are missing stay white.

    Returns:
        A 2W x 2H RGB image.

    Raises:
        ValueError: For a slot that does not exist, or a page size that has no canvas.
    """
    canvas = Image.new("RGB", canvas_size(query.size), "white")
    canvas.paste(query.convert("RGB"), query_box(query.size))
    for (quadrant, rank), patch in patches.items():
        left, top, right, bottom = slot_box(query.size, quadrant, rank)
        resized = patch.convert("RGB").resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        canvas.paste(resized, (left, top))
    return canvas


def mask_image(size: Size) -> Image.Image:
    """Return the released mask picture, 2W x 2H RGB, white on the query and black elsewhere.

    A 512-pixel square asset resized bicubically, so that edges blur slightly at some sizes.
    """
    quarter = _MASK_ASSET_SIDE // 4
    asset = Image.new("RGB", (_MASK_ASSET_SIDE, _MASK_ASSET_SIDE), "black")
    asset.paste("white", (quarter, quarter, 3 * quarter, 3 * quarter))
    return asset.resize(canvas_size(size), Image.Resampling.BICUBIC)


def query_mask(size: Size) -> Tensor:
    """Return the mask of a canvas as the networks see it.

    Returns:
        ``(1, 2H, 2W)`` float32 in [0, 1], 0 on the query and 1 on the references.
    """
    red = mask_image(size).getchannel("R")
    levels = torch.frombuffer(bytearray(red.tobytes()), dtype=torch.uint8).reshape(1, red.height, red.width)
    return 1 - levels.float() / 255


def training_window(size: Size, generator: torch.Generator, min_scale: float = 1.25, max_scale: float = 2.0) -> Box:
    """Draw the random part of the canvas that a training step sees (paper Fig. 3, patch-wise training).

    The window has the page's aspect and always holds the whole query; its scale against the page and
    its place are uniform. Scale 2 is the whole canvas, scale 1 the query alone.

    Args:
        size: Page size (W, H).
        generator: Source of randomness; exactly three numbers are drawn from it.
        min_scale: Smallest scale, at least 1. The paper gives none: 1.25 is our choice.
        max_scale: Largest scale, at most 2.

    Returns:
        A box on the 2W x 2H canvas.

    Raises:
        ValueError: Unless 1 <= min_scale <= max_scale <= 2.
    """
    if not 1 <= min_scale <= max_scale <= 2:
        raise ValueError(f"training_window: expected 1 <= min_scale <= max_scale <= 2, got {min_scale} and {max_scale}")
    canvas, query = canvas_size(size), query_box(size)
    draws = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    scale = min_scale + (max_scale - min_scale) * draws[0]
    width, height = (min(2 * side, max(side, round(scale * side))) for side in size)
    left = _place(query[0], query[2], width, canvas[0], draws[1])
    top = _place(query[1], query[3], height, canvas[1], draws[2])
    return left, top, left + width, top + height


def _place(low: int, high: int, length: int, limit: int, draw: float) -> int:
    """Choose a start in [max(0, high - length), min(low, limit - length)], each with equal chance."""
    first, last = max(0, high - length), min(low, limit - length)
    return first + min(int(draw * (last - first + 1)), last - first)


def _cell_box(size: Size, quadrant: int, rank: int) -> Box:
    """Return the whole half-page cell of a slot, border included."""
    width, height = (side // 4 for side in canvas_size(size))
    row, column = _CELLS[quadrant][rank]
    return column * width, row * height, (column + 1) * width, (row + 1) * height
