"""Attention maps (paper Fig. 5): where on the canvas the model looks while it colours one region of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from colorflow.canvas import Size, canvas_size, fit_box, query_box
from colorflow.models.attention_record import default_layer, record_attention, self_attention_layers
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.output import ColorFlowOutput
from colorflow.retrieval.retriever import IndexedPool
from colorflow.schema import ReferencePool

Region = tuple[float, float, float, float]


@dataclass(frozen=True)
class AttentionSettings:
    """What is asked.

    Attributes:
        region: Box (left, top, right, bottom) on the page: in its pixels, or in fractions of its sides where no number
            is above 1.
        layer: One of `attention_layers`; None takes `colorflow.models.attention_record.default_layer`.
        steps: Denoising steps to average over, 0 the noisiest; None takes all.
        pages: Of chapters: names of pages, or chapter/name; None takes all.
    """

    region: Region
    layer: str | None = None
    steps: Sequence[int] | None = None
    pages: Sequence[str] | None = None

    def asked(self) -> dict[str, Any]:
        """What a map of a given page hangs on, as JSON has it."""
        steps = None if self.steps is None else list(self.steps)
        return {"region": list(self.region), "layer": self.layer, "steps": steps}


@dataclass(frozen=True)
class AttentionMap:
    """What was found.

    Attributes:
        weights: ``(rows, columns)`` float32 over the canvas, sum 1: mean over the region's tokens, heads and steps.
        box: The region on the canvas, in its pixels.
        layer: The layer.
        steps: The steps.
        output: The coloured page: the same, bit for bit, as without a map.
    """

    weights: Tensor
    box: Region
    layer: str
    steps: tuple[int, ...]
    output: ColorFlowOutput


def attention_layers(pipeline: ColorFlowPipeline) -> list[str]:
    """Names of the layers that can be asked."""
    return self_attention_layers(pipeline.icp.model.network)


def attention_map(
    pipeline: ColorFlowPipeline,
    page: Image.Image,
    references: IndexedPool | ReferencePool | Sequence[Image.Image],
    settings: AttentionSettings,
    *,
    seed: int = 0,
) -> AttentionMap:
    """Colour a page and record what a region of it attends to.

    Args:
        pipeline: Colours the page, on a canvas of its page size.
        page: The page.
        references: See `ColorFlowPipeline`.
        settings: Region, layer and steps.
        seed: See `ColorFlowPipeline`.

    Raises:
        ValueError: For a region outside the page, an unknown layer or a step that is not taken.
    """
    check_attention(pipeline, settings)
    size = pipeline.page_size
    box, canvas = region_on_canvas(settings.region, page.size, size), canvas_size(size)
    layer = settings.layer or default_layer(pipeline.icp.model.network)
    with record_attention(pipeline.icp.model.network, layer, lambda grid: tokens_in(box, canvas, grid)) as maps:
        output = pipeline(page, references, seed=seed)
    steps = tuple(range(len(maps)) if settings.steps is None else settings.steps)
    weights = torch.stack([maps[step][-1] for step in steps]).mean(dim=0)  # under guidance the last is of the prompt
    return AttentionMap(weights, box, layer, steps, output)


def check_attention(pipeline: ColorFlowPipeline, settings: AttentionSettings) -> None:
    """Refuse a layer or steps that are not there, before a page is coloured.

    Raises:
        ValueError: Naming what there is.
    """
    layers, taken = attention_layers(pipeline), pipeline.sampling.steps
    if settings.layer is not None and settings.layer not in layers:
        raise ValueError(f"attention layer: expected one of {', '.join(layers)}; got {settings.layer!r}")
    if settings.steps is not None and not (settings.steps and all(0 <= step < taken for step in settings.steps)):
        raise ValueError(f"attention steps: expected some of 0 to {taken - 1}, got {list(settings.steps)}")


def region_on_canvas(region: Region, page: Size, size: Size) -> Region:
    """Where a region of a page lies on the canvas.

    Args:
        region: See `AttentionSettings`.
        page: Size of the page.
        size: Page size (W, H) on the canvas.

    Returns:
        Box in pixels of the canvas, cut off where `fit_page` crops the page.

    Raises:
        ValueError: For a box that is empty, or outside the page or its shown part.
    """
    if len(region) != 4:
        raise ValueError(f"attention region: expected left, top, right and bottom, got {list(region)}")
    scale = page if max(region) <= 1 else (1, 1)
    left, top, right, bottom = (value * scale[number % 2] for number, value in enumerate(region))
    if not (0 <= left < right <= page[0] and 0 <= top < bottom <= page[1]):
        raise ValueError(
            f"attention region: expected a box [left, top, right, bottom] in a page of {page[0]} x {page[1]} pixels, "
            f"or in fractions of its sides, got {list(region)}"
        )
    shown, query = fit_box(page, size), query_box(size)
    left, top = max(left, shown[0]), max(top, shown[1])
    right, bottom = min(right, shown[2]), min(bottom, shown[3])
    if left >= right or top >= bottom:
        raise ValueError(
            f"attention region: expected a box in the part of the page that the canvas shows, {list(shown)}, got "
            f"{list(region)}"
        )
    across, down = size[0] / (shown[2] - shown[0]), size[1] / (shown[3] - shown[1])
    return (
        query[0] + (left - shown[0]) * across,
        query[1] + (top - shown[1]) * down,
        query[0] + (right - shown[0]) * across,
        query[1] + (bottom - shown[1]) * down,
    )


def tokens_in(box: Region, canvas: Size, grid: tuple[int, int]) -> Tensor:
    """The tokens of a box: those with their centre in it; in a narrow box, those under its middle line or point.

    Args:
        box: (left, top, right, bottom) in pixels of the canvas.
        canvas: Its size (2W, 2H).
        grid: Rows and columns of tokens.

    Returns:
        ``(R,)`` int64, counted row by row; at least one.
    """
    rows = _inside(box[1], box[3], canvas[1] / grid[0], grid[0])
    columns = _inside(box[0], box[2], canvas[0] / grid[1], grid[1])
    return (rows[:, None] * grid[1] + columns).flatten()


def _inside(low: float, high: float, step: float, count: int) -> Tensor:
    numbers = torch.arange(count)
    centres = (numbers + 0.5) * step
    found = numbers[(centres >= low) & (centres < high)]
    return found if len(found) else numbers[[min(count - 1, int((low + high) / 2 / step))]]
