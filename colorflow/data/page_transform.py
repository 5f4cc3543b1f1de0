"""From a decoded sample to a page in colour and in black and white: what guided super-resolution learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from colorflow.canvas import Size, fit_page
from colorflow.data.chapters import DataError
from colorflow.schema import ColorizationSample, PageBatch, Style, bind
from colorflow.utils.images import load_image, to_tensor
from colorflow.utils.seeding import generator, stable_seed


@dataclass(frozen=True)
class PageTransform:
    """Turns a sample at a position into a batch of one whole page; its references are not looked at.

    Attributes:
        page_size: Size (W, H) of the page, the resolution of super-resolution.
        style: Makes the black-and-white page from the colour page.
        recorded: Folder ``<chapter>/<page>.png`` of ICP results for every page (any predictions folder of one
            style); None leaves the low-resolution colour to the task, which simulates it.
        low_res_size: Size (w, h) recorded results are brought to; with ``recorded`` only.
    """

    page_size: Size
    style: Style
    recorded: Path | None = None
    low_res_size: Size | None = None

    def __post_init__(self) -> None:
        """Lists, as configs hold them, become tuples.

        Raises:
            ValueError: For recorded results without a size.
        """
        object.__setattr__(self, "page_size", tuple(self.page_size))
        if self.recorded is not None:
            if self.low_res_size is None:
                raise ValueError("PageTransform: expected low_res_size with recorded results, got None")
            object.__setattr__(self, "recorded", Path(self.recorded))
            object.__setattr__(self, "low_res_size", tuple(self.low_res_size))

    def for_validation(self) -> PageTransform:
        """Return itself: there is no random geometry."""
        return self

    def __call__(self, sample: ColorizationSample, seed: int, position: int) -> PageBatch:
        """Return the tensors of a page at a position of the sequence; see `CanvasTransform`.

        Raises:
            DataError: Where a recorded result is missing.
        """
        page = fit_page(sample.page, self.page_size)
        gray = bind(self.style, sample.renditions)(page, generator(seed, "style", position))
        return PageBatch(
            target=to_tensor(page)[None],
            gray=to_tensor(gray.convert("RGB"))[None],
            page_ids=(sample.page_id,),
            seeds=(stable_seed(seed, "noise", position),),
            low_res=self._recorded(sample.page_id),
        )

    def _recorded(self, page_id: str) -> torch.Tensor | None:
        if self.recorded is None or self.low_res_size is None:
            return None
        file = self.recorded / f"{page_id}.png"
        if not file.is_file():
            raise DataError(f"recorded: expected the ICP result of every page, found none at {file}; record them all")
        return to_tensor(fit_page(load_image(file), self.low_res_size))[None]
