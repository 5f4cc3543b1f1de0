"""Generated comics painted anew for every sample: pages are palette indices, and a palette is cheap.

What is drawn stays, its colours do not: no colour can be known from what a thing is, only from the references. The
indices also tell which tokens of a canvas show the same thing; training may use that (`colorflow.tasks.supervision`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorflow.canvas import Box, Size, canvas_size, query_box, slot_box
from colorflow.data.chapters import DataError
from colorflow.data.transforms import CanvasTransform, Transform, collate
from colorflow.schema import QUADRANTS, Batch, ColorizationBatch, ColorizationSample, Style
from colorflow.toon import ToonSpec, cast_of, paint_world
from colorflow.utils.images import read_indexed
from colorflow.utils.seeding import generator, stable_seed

OVERSAMPLING = 3
"""Index pixels that a painted pixel is made of, per side, at most: finer ones are left out first (our choice)."""

NO_LABEL = 255
"""Label of what is on no page: empty slots and the borders around them."""


class IndexedPages:
    """Pages as palette indices, least recently used out first; each worker has its own."""

    def __init__(self, megabytes: int = 1024) -> None:
        """Fix the memory a worker may hold."""
        self.capacity = megabytes * 2**20
        self._pages: OrderedDict[Path, Image.Image] = OrderedDict()
        self._held = 0

    def __call__(self, path: Path) -> Image.Image:
        """Return a page as it was drawn, mode "P".

        Raises:
            ImageError: For a file that is no picture with a palette.
        """
        if path in self._pages:
            self._pages.move_to_end(path)
            return self._pages[path]
        page = self._pages[path] = read_indexed(path)
        self._held += page.width * page.height
        while self._held > self.capacity:
            _, oldest = self._pages.popitem(last=False)
            self._held -= oldest.width * oldest.height
        return page

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pages behind when a worker process is started."""
        return self.__dict__ | {"_pages": OrderedDict(), "_held": 0}


@dataclass(frozen=True)
class Repaint:
    """A transform of samples whose pages are palette indices: paints them, and hands them on in RGB.

    Attributes:
        transform: What makes tensors of the painted sample.
        page_size: Page size (W, H), the transform's.
        spec: Colours are drawn as for a chapter of these options; None keeps the chapter's own.
        quarters: Share of the batches, in [0, 1], whose canvases are cut into four: a quadrant of the query and its
            three slots, each with a palette of its own. They cost what whole canvases do, and are four times as many.
        batch_size: Samples a global batch: all of a batch are quarters, or none. Needed for ``quarters`` alone.
        label_stride: Pixels a label, as a latent has; None makes no labels.
    """

    transform: CanvasTransform
    page_size: Size
    spec: ToonSpec | None = None
    quarters: float = 0.0
    batch_size: int = 1
    label_stride: int | None = 4

    def __post_init__(self) -> None:
        """Lists, as configs hold them, become tuples."""
        object.__setattr__(self, "page_size", tuple(self.page_size))

    @property
    def style(self) -> Style:
        """Style of the query."""
        return self.transform.style

    def for_validation(self) -> Repaint:
        """Return the same for whole canvases in the chapters' own colours."""
        return replace(self, transform=self.transform.for_validation(), spec=None, quarters=0.0)

    def __call__(self, sample: ColorizationSample, seed: int, position: int) -> Batch:
        """Return a batch of one whole canvas or of four quarters; see `CanvasTransform`."""
        number = position // self.batch_size
        draw = torch.rand((), generator=generator(seed, "quarters", number)).item() if self.quarters else 1.0
        if draw >= self.quarters:
            return self._canvas(sample, seed, position, stable_seed(seed, "paint", position))
        return collate([self._quarter(sample, seed, position, quadrant) for quadrant in range(len(QUADRANTS))])

    def _canvas(self, sample: ColorizationSample, seed: int, position: int, paint: int) -> ColorizationBatch:
        batch = self.transform(painted(sample, self.page_size, self.spec, paint), seed, position)
        if self.label_stride is None:
            return batch
        return replace(batch, labels=label_canvas(sample, self.page_size, self.label_stride)[None])

    def _quarter(self, sample: ColorizationSample, seed: int, position: int, quadrant: int) -> ColorizationBatch:
        patches = tuple((patch, image) for patch, image in sample.patches if patch.quadrant == quadrant)
        paint = stable_seed(seed, "paint", position, quadrant)
        whole = self._canvas(replace(sample, patches=patches), seed, position, paint)
        return replace(
            whole,
            target=quarter(whole.target, quadrant),
            condition=quarter(whole.condition, quadrant),
            mask=quarter(whole.mask, quadrant),
            labels=None if whole.labels is None else quarter(whole.labels, quadrant),
            seeds=(stable_seed(seed, "noise", position, quadrant),),
        )


@dataclass(frozen=True)
class RepaintPage:
    """The same for whole pages, without references or labels.

    Attributes:
        transform: What makes tensors of the painted page.
        page_size: Page size (W, H), the transform's.
        spec: See `Repaint`.
    """

    transform: Transform
    page_size: Size
    spec: ToonSpec | None = None

    def __post_init__(self) -> None:
        """Lists, as configs hold them, become tuples."""
        object.__setattr__(self, "page_size", tuple(self.page_size))

    @property
    def style(self) -> Style:
        """Style of the page in black and white."""
        return self.transform.style

    def for_validation(self) -> RepaintPage:
        """Return the same in the chapters' own colours."""
        return replace(self, transform=self.transform.for_validation(), spec=None)

    def __call__(self, sample: ColorizationSample, seed: int, position: int) -> Batch:
        """Return a batch of one page; see `Repaint`."""
        page = painted(replace(sample, patches=()), self.page_size, self.spec, stable_seed(seed, "paint", position))
        return self.transform(page, seed, position)


def painted(sample: ColorizationSample, page_size: Size, spec: ToonSpec | None, seed: int) -> ColorizationSample:
    """The sample in RGB and of the page size: in colours drawn from ``seed``, or in its own.

    Args:
        sample: Page and patches as palette indices (mode "P").
        page_size: Size (W, H) of the page; of a patch that is a quadrant, three quarters of it.
        spec: Options of the colours; None keeps the palette of the pictures.
        seed: Of the colours.
    """
    if sample.page.mode != "P":
        raise DataError(
            f"{sample.page_id}: expected a page of palette indices (mode P), got {sample.page.mode}; "
            "set data=toon_identity"
        )
    palette = None
    if spec is not None:
        colors = paint_world(seed, cast_of(sample.page), spec)[1]
        palette = [channel for color in colors for channel in color]

    def render(image: Image.Image, size: Size) -> Image.Image:
        fine = min(OVERSAMPLING * size[0], image.width), min(OVERSAMPLING * size[1], image.height)
        image = image.resize(fine, Image.Resampling.NEAREST)
        if palette is not None:
            image.putpalette(palette)
        return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)

    width, height = page_size
    sizes = {True: page_size, False: (width // 4 * 3, height // 4 * 3)}
    patches = tuple((patch, render(image, sizes[patch.patch == 0])) for patch, image in sample.patches)
    return replace(sample, page=render(sample.page, page_size), patches=patches)


def label_canvas(sample: ColorizationSample, page_size: Size, stride: int) -> Tensor:
    """Palette index at the middle of every ``stride`` x ``stride`` pixels: ``(2H / stride, 2W / stride)``."""
    canvas = Image.new("L", canvas_size(page_size), NO_LABEL)

    def paste(image: Image.Image, box: Box) -> None:
        indices = Image.fromarray(np.asarray(image))
        canvas.paste(indices.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST), box[:2])

    paste(sample.page, query_box(page_size))
    for patch, image in sample.patches:
        paste(image, slot_box(page_size, patch.quadrant, patch.rank))
    return torch.from_numpy(np.array(canvas)[stride // 2 :: stride, stride // 2 :: stride].copy())


def quarter(tensor: Tensor, quadrant: int) -> Tensor:
    """A quadrant (TL, TR, BL, BR) of ``(..., H, W)``."""
    height, width = (side // 2 for side in tensor.shape[-2:])
    row, column = divmod(quadrant, 2)
    return tensor[..., row * height : (row + 1) * height, column * width : (column + 1) * width]
