"""A frozen network that looks at pages: what it sees of a page, and what it answers.

It answers page by page, in batches of one size: a short batch is filled up, so that a page's answer does
not depend on which pages came with it. What its last bits may depend on is its place in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.metrics.pages import check_pages
from colorflow.utils.precision import full_precision

Side = Literal["prediction", "target", "pair"]
"""What a network looks at: predictions and truths one by one, or each pair together."""


@dataclass(frozen=True, eq=False)
class PageNetwork:
    """A frozen network over pages, or over pairs of pages.

    Attributes:
        name: Short, for files.
        id: Names architecture, weights and preprocessing, e.g. ``inception-2048-clean``.
        prepare: One 8-bit RGB page (two for a network over pairs) to what the module takes, without batch axis.
        module: Maps a batch of that to ``(B, D)``.
        digest: Of the weights, as ``digest_weights`` gives it.
        device: Where it runs.
        batch_size: Pages a forward pass.
        pairs: It looks at a page and its truth together.
    """

    name: str
    id: str
    prepare: Callable[..., Tensor]
    module: nn.Module
    digest: str
    device: torch.device
    batch_size: int = 8
    pairs: bool = False

    def __post_init__(self) -> None:
        """Freeze the module."""
        if self.batch_size < 1:
            raise ValueError(f"{self.id}: expected a batch_size of at least 1, got {self.batch_size}")
        self.module.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, prepared: Sequence[Tensor], places: Sequence[int] | None = None) -> Tensor:
        """Ask about pages.

        Args:
            prepared: N prepared pages of one shape.
            places: Ascending numbers of these pages in a longer list: the answers are, bit for bit, those within the
                answers about all of it. Default: these are the list.

        Returns:
            ``(N, D)`` float32 on the CPU.
        """
        if not prepared:
            raise ValueError(f"{self.id}: expected at least one page, got none")
        self.module.to(self.device)  # now and not before: pages are coloured first, and need the memory
        batches: dict[int, dict[int, Tensor]] = {}
        for place, page in zip(range(len(prepared)) if places is None else places, prepared, strict=True):
            batches.setdefault(place // self.batch_size, {})[place % self.batch_size] = page
        answers = []
        with full_precision():
            for batch in batches.values():
                filler = next(iter(batch.values()))
                filled = torch.stack([batch.get(slot, filler) for slot in range(self.batch_size)])
                answers.append(self.module(filled.to(self.device))[list(batch)].float().cpu())
        return torch.cat(answers)

    def __call__(self, *pages: Tensor) -> Tensor:
        """Return ``(B, D)`` float32 for ``(B, 3, H, W)`` float pages in [0, 1], rounded to 8 bits first."""
        pictures = [to_pictures(batch, self.id) for batch in pages]
        return self.forward([self.prepare(*items) for items in zip(*pictures, strict=True)])


def to_pictures(pages: Tensor, metric: str) -> list[Image.Image]:
    """Turn a batch of pages into 8-bit pictures.

    Args:
        pages: ``(B, 3, H, W)`` float in [0, 1].
        metric: Name for messages.

    Raises:
        TypeError: For anything but floating-point tensors.
        ValueError: For another shape, NaN, or values outside [0, 1].
    """
    check_pages(pages, metric)
    levels = (pages.detach().cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return [Image.fromarray(page) for page in levels]


def pixels(page: Image.Image) -> Tensor:
    """The page as ``(3, H, W)`` float32, its 8-bit levels."""
    return torch.from_numpy(np.array(page)).permute(2, 0, 1).float()
