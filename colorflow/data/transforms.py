"""From a decoded sample to the tensors of a training step: style, canvas, window, downsampling.

Patch-wise training (paper section 3.2, Fig. 3): target, condition and mask are cut alike; validation sees all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorflow.canvas import Box, Size, canvas_size, fit_page, query_box, query_mask, stitch, training_window
from colorflow.data.palette import PaletteShift
from colorflow.schema import Batch, ColorizationBatch, ColorizationSample, Style, bind
from colorflow.utils.images import to_tensor
from colorflow.utils.seeding import generator, stable_seed

WHOLE_CANVAS = (2.0, 2.0)

BatchT = TypeVar("BatchT", bound=Batch)


class Transform(Protocol):
    """Turns a decoded sample into the tensors of a step."""

    page_size: Size
    style: Style

    def for_validation(self) -> Transform:
        """Return the transform that validation uses, without random geometry."""

    def __call__(self, sample: ColorizationSample, seed: int, position: int) -> Batch:
        """Return a batch of one; all randomness comes from (seed, position)."""


@dataclass(frozen=True)
class CanvasTransform:
    """Turns a sample at a position into a batch of one.

    Attributes:
        page_size: Page size (W, H) on the canvas; the canvas is 2W x 2H.
        train_size: Size (w, h) of the tensors, with the page's aspect (default run: 512 x 800).
        style: Makes the query from the colour page.
        window: Smallest and largest scale of the random window against the page; (2, 2) is the whole
            canvas. The paper gives no numbers: (1.25, 2) is our choice.
        palette: Changes the colours of page and references alike, in training only; None (the paper) keeps them.
        views: How many draws of style and window a page has, fixed by its id; a position chooses one of them, so that
            latents can be cached. None: a fresh draw at every position.
    """

    page_size: Size
    train_size: Size
    style: Style
    window: tuple[float, float] = (1.25, 2.0)
    palette: PaletteShift | None = None
    views: int | None = None

    def __post_init__(self) -> None:
        """Check the sizes; lists, as configs hold them, become tuples.

        Raises:
            ValueError: For an impossible page size, window or number of views, or aspects that differ by over 1 %.
        """
        if self.views is not None and self.views < 1:
            raise ValueError(f"CanvasTransform: expected views of at least 1, or None, got {self.views}")
        for name in ("page_size", "train_size", "window"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        canvas_size(self.page_size)
        training_window(self.page_size, generator("check"), *self.window)
        aspect, expected = (size[0] / size[1] for size in (self.train_size, self.page_size))
        if abs(aspect / expected - 1) > 0.01:
            raise ValueError(
                f"CanvasTransform: expected train_size with the aspect of page_size {self.page_size}, got "
                f"{self.train_size}; the canvas would be distorted"
            )

    def for_validation(self) -> CanvasTransform:
        """Return the same transform with the whole canvas as its window, in the sample's own colours."""
        return replace(self, window=WHOLE_CANVAS, palette=None, views=None)

    def describe(self) -> dict[str, Any]:
        """Return JSON values that fix what a view of a page looks like."""
        names = ("page_size", "train_size", "window", "views")
        return {name: getattr(self, name) for name in names} | {
            "palette": None if self.palette is None else asdict(self.palette),
            "style": self.style.describe(),
        }

    def view_at(self, seed: int, position: int) -> int:
        """Return the view that a position shows, where a page has several."""
        assert self.views is not None
        return stable_seed(seed, "view", position) % self.views

    def view(self, sample: ColorizationSample, number: int, noise_seed: int) -> ColorizationBatch:
        """Return one of a page's views."""
        return self._batch(sample, stable_seed("views", sample.page_id), number, noise_seed)

    def canvases(self, sample: ColorizationSample, seed: int, position: int) -> tuple[Image.Image, Image.Image]:
        """Stitch target and condition, 2W x 2H, which differ on the query only."""
        patches = {(patch.quadrant, patch.rank): image for patch, image in sample.patches}
        target = stitch(fit_page(sample.page, self.page_size), patches)
        if self.palette is not None:
            target = self.palette(target, generator(seed, "palette", position))
        page = target.crop(query_box(self.page_size))
        query = bind(self.style, sample.renditions)(page, generator(seed, "style", position))
        if query.size != page.size:
            raise ValueError(f"style {self.style.name!r}: expected the page's size {page.size}, got {query.size}")
        condition = target.copy()
        condition.paste(query.convert("RGB"), query_box(self.page_size))
        return target, condition

    def __call__(self, sample: ColorizationSample, seed: int, position: int) -> ColorizationBatch:
        """Return the training tensors of a sample at a position of the sequence.

        Args:
            sample: Page and patches, decoded.
            seed: Seed of the run (validation passes another one).
            position: Place in the endless sequence; with ``seed`` it fixes style, window and noise seed.

        Returns:
            A batch of one sample of ``train_size``.
        """
        noise_seed = stable_seed(seed, "noise", position)
        if self.views is not None:
            return self.view(sample, self.view_at(seed, position), noise_seed)
        return self._batch(sample, seed, position, noise_seed)

    def _batch(self, sample: ColorizationSample, seed: int, number: int, noise_seed: int) -> ColorizationBatch:
        """Style and window from (seed, number)."""
        target, condition = self.canvases(sample, seed, number)
        window = training_window(self.page_size, generator(seed, "window", number), *self.window)
        # The mask by area: a pixel holds the share of reference under it, ringing-free.
        mask = _mask_canvas(self.page_size).resize(self.train_size, Image.Resampling.BOX, box=window)
        return ColorizationBatch(
            target=self._view(target, window)[None],
            condition=self._view(condition, window)[None],
            mask=torch.from_numpy(np.array(mask))[None, None].clamp(0, 1),
            page_ids=(sample.page_id,),
            seeds=(noise_seed,),
        )

    def _view(self, canvas: Image.Image, window: Box) -> Tensor:
        """Cut and downsample a canvas: bicubic with antialiasing, the filter of every other resize here."""
        return to_tensor(canvas.resize(self.train_size, Image.Resampling.BICUBIC, box=window))


def collate(batches: Sequence[BatchT]) -> BatchT:
    """Join batches of one kind into one, in order: tensors along the batch, names and seeds end to end."""
    parts = {name: [vars(batch)[name] for batch in batches] for name in vars(batches[0])}
    return type(batches[0])(**{name: _join(values) for name, values in parts.items()})


def _join(values: Sequence[Any]) -> Any:
    if values[0] is None:
        return None
    return torch.cat(tuple(values)) if isinstance(values[0], Tensor) else tuple(chain.from_iterable(values))


@lru_cache(maxsize=4)
def _mask_canvas(page_size: Size) -> Image.Image:
    """The mask of the whole canvas as a float image, 0 on the query and 1 elsewhere."""
    return Image.fromarray(query_mask(page_size)[0].numpy())
