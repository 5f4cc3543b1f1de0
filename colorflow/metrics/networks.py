"""A frozen network that looks at pages: what it sees of a page, and what it answers.

It answers page by page, in batches of one size: a short batch is filled up, so that a page's answer does
not depend on which pages came with it. What its last bits may depend on is its place in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.utils.precision import full_precision
from colorflow.utils.tensors import digest_weights

_THUMBNAIL = 12


@dataclass(frozen=True, eq=False)
class PageNetwork:
    """A frozen network over pages, or over pairs of pages.

    Attributes:
        id: Names architecture, weights and preprocessing, e.g. ``inception-2048-clean``.
        prepare: One 8-bit RGB page (two for a network over pairs) to what the module takes, without batch axis.
        module: Maps a batch of that to ``(B, D)``.
        digest: Of the weights, as ``digest_weights`` gives it.
        device: Where it runs.
        batch_size: Pages a forward pass.
        random: The weights are random: the numbers mean nothing, and only tests use them.
    """

    id: str
    prepare: Callable[..., Tensor]
    module: nn.Module
    digest: str
    device: torch.device
    batch_size: int = 8
    random: bool = False

    def __post_init__(self) -> None:
        """Freeze the module; mark random weights in the id."""
        if self.batch_size < 1:
            raise ValueError(f"{self.id}: expected a batch_size of at least 1, got {self.batch_size}")
        if self.random:
            object.__setattr__(self, "id", f"{self.id}-RANDOM")
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


def random_network(dimensions: int = 32, *, pairs: bool = False, batch_size: int = 8) -> PageNetwork:
    """A tiny random network, one linear layer over a thumbnail, for tests; marked as random.

    Args:
        dimensions: D of its answer.
        pairs: Look at pairs of pages and answer by the mean absolute difference of their features, ``(B, 1)``.
        batch_size: Pages a forward pass.
    """
    module = _Thumbnails(dimensions, pairs)
    prepare = _thumbnails if pairs else _thumbnail
    name = f"thumbnail-{dimensions}" + ("-pairs" if pairs else "")
    return PageNetwork(name, prepare, module, digest_weights(module), torch.device("cpu"), batch_size, random=True)


def to_pictures(pages: Tensor, metric: str) -> list[Image.Image]:
    """Turn a batch of pages into 8-bit pictures.

    Args:
        pages: ``(B, 3, H, W)`` float in [0, 1].
        metric: Name for messages.

    Raises:
        TypeError: For anything but floating-point tensors.
        ValueError: For another shape, NaN, or values outside [0, 1].
    """
    if not isinstance(pages, Tensor) or not pages.is_floating_point():
        got = pages.dtype if isinstance(pages, Tensor) else type(pages).__name__
        raise TypeError(f"{metric}: expected pages as a float tensor in [0, 1], got {got}; divide 8-bit pixels by 255")
    if pages.ndim != 4 or pages.shape[1] != 3 or 0 in pages.shape:
        raise ValueError(f"{metric}: expected pages of shape (B, 3, H, W), got {tuple(pages.shape)}")
    if not bool(((pages >= 0) & (pages <= 1)).all()):
        raise ValueError(
            f"{metric}: expected pages in [0, 1], got [{float(pages.min()):g}, {float(pages.max()):g}]; "
            "map [-1, 1] by x / 2 + 0.5, [0, 255] by x / 255"
        )
    levels = (pages.detach().cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return [Image.fromarray(page) for page in levels]


def pixels(page: Image.Image) -> Tensor:
    """The page as ``(3, H, W)`` float32, its 8-bit levels."""
    return torch.from_numpy(np.array(page)).permute(2, 0, 1).float()


def _thumbnail(page: Image.Image) -> Tensor:
    return pixels(page.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)) / 255


def _thumbnails(first: Image.Image, second: Image.Image) -> Tensor:
    return torch.stack((_thumbnail(first), _thumbnail(second)))


class _Thumbnails(nn.Module):
    """One random linear layer, the same in every process."""

    def __init__(self, dimensions: int, pairs: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * _THUMBNAIL**2, dimensions)
        self.pairs = pairs
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.linear.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, batch: Tensor) -> Tensor:
        """Map ``(B, 3, h, w)`` to ``(B, D)``, or ``(B, 2, 3, h, w)`` to ``(B, 1)``."""
        if not self.pairs:
            features: Tensor = self.linear(batch.flatten(1))
            return features
        return (self.linear(batch[:, 0].flatten(1)) - self.linear(batch[:, 1].flatten(1))).abs().mean(1, keepdim=True)
