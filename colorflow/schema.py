"""The frozen dataclasses that cross layers; nothing here computes.

Vocabulary: the *query* is the page to colour, *references* are coloured pages of the same
sequence, a *patch* is one of the five views of a reference page (the whole page, then its
four overlapping quadrants), a *slot* is the place of a patch on the stitched *canvas*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

QUADRANTS = ("TL", "TR", "BL", "BR")
"""Order of the four query patches (row-major), paper section 3.1."""

RANKS = 3
"""Reference patches kept for each query patch (paper section 3.1: top 3)."""


NATIVE_SIZE = "native_size"
"""Key of an image's ``info``: (width, height) that a method computed it at, where it then resized it."""


@dataclass(frozen=True)
class Page:
    """One colour page on disk; ``id`` is ``<chapter>/<file stem>``."""

    chapter: str
    name: str
    path: Path

    @property
    def id(self) -> str:
        """The page's name in records, tables and seeds."""
        return f"{self.chapter}/{self.name}"


@dataclass(frozen=True)
class Chapter:
    """A named, naturally sorted sequence of pages that share characters and colours."""

    name: str
    pages: tuple[Page, ...]


@dataclass(frozen=True)
class RetrievedPatch:
    """One retrieved reference patch and the slot it takes.

    Attributes:
        reference: Id of the reference page the patch was cut from.
        patch: 0 for the whole page, 1 to 4 for its quadrants TL, TR, BL, BR.
        quadrant: 0 to 3, the query patch it was found for.
        rank: 0 to 2, best match first.
        similarity: Cosine similarity in [-1, 1]; NaN where nothing was compared.
    """

    reference: str
    patch: int
    quadrant: int
    rank: int
    similarity: float


@dataclass(frozen=True)
class ReferencePool:
    """Coloured pages a method may look at, in upload order.

    Attributes:
        ids: One unique id a page.
        pages: RGB images, any size.
        key: Digest of ids and pixels: equal keys mean equal pools, so caches hang on it.
    """

    ids: tuple[str, ...]
    pages: tuple[Image.Image, ...]
    key: str


@dataclass(frozen=True)
class ColorizationSample:
    """A page with its recorded reference patches, decoded, before any style or geometry.

    Attributes:
        page_id: Id of the page.
        page: The colour page, RGB, any size; of generated comics that are painted anew, palette indices.
        patches: ``(retrieved, image)`` pairs, at most twelve, one a slot at most.
        renditions: Black-and-white renditions of the page that were made beforehand, by style name; size of the page.
    """

    page_id: str
    page: Image.Image
    patches: tuple[tuple[RetrievedPatch, Image.Image], ...]
    renditions: Mapping[str, Image.Image] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What all batches have.

    Attributes:
        page_ids: B page ids, for messages.
        seeds: B integers; all noise of a sample is drawn from its own seed, so that results
            depend neither on batch size nor on rank count.
        unreadable: What is wrong with the samples whose place others took.
    """

    page_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.page_ids)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or cast the tensors, with the arguments of ``Tensor.to``."""
        return self._map(lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> Self:
        """Pin the tensors (called by ``DataLoader(pin_memory=True)``)."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Any) -> Self:
        tensors = {name: function(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


@dataclass(frozen=True)
class ColorizationBatch(Batch):
    """What a training step gets. B samples of h x w pixels.

    Attributes:
        target: ``(B, 3, h, w)`` float in [-1, 1], the canvas window in colour.
        condition: ``(B, 3, h, w)`` float in [-1, 1], the same window with the query in black and white.
        mask: ``(B, 1, h, w)`` float in [0, 1]; 0 on the query, 1 on the references.
        labels: ``(B, h / f, w / f)`` uint8 palette indices of generated comics, 255 outside of pages; training only.
    """

    target: Tensor
    condition: Tensor
    mask: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class LatentBatch(Batch):
    """A `ColorizationBatch` as the frozen VAE sees it: its posteriors, of which a step draws with the samples' seeds.

    Attributes:
        target: ``(B, 2, C, h, w)``, mean and standard deviation of the target window's posterior, in the VAE's dtype.
        condition: ``(B, n, 2, C, h, w)``, the same of each of the condition's n encodings.
        mask: ``(B, 1, h, w)`` float in [0, 1]; 0 on the query, 1 on the references.
        labels: See `ColorizationBatch`.
        tones: ``(B, 2 n, h, w)``, see `colorflow.models.conditioning.tone_code`; None where the guider takes none.
    """

    target: Tensor
    condition: Tensor
    mask: Tensor
    labels: Tensor | None = None
    tones: Tensor | None = None


@dataclass(frozen=True)
class PageBatch(Batch):
    """What a step of guided super-resolution gets. B pages of H x W pixels.

    Attributes:
        target: ``(B, 3, H, W)`` float in [-1, 1], the page in colour.
        gray: ``(B, 3, H, W)`` float in [-1, 1], the page in black and white.
        low_res: ``(B, 3, h, w)`` float in [-1, 1], a recorded result of ICP; None where it is to be simulated.
    """

    target: Tensor
    gray: Tensor
    low_res: Tensor | None = None


@dataclass(frozen=True)
class PageRecord:
    """What one generated page is known by in ``manifest.jsonl``.

    Attributes:
        method: Row name, e.g. ``colorflow``.
        style: Input style, e.g. ``gray``.
        chapter: Chapter name.
        page: File stem of the target.
        seed: Seed the page was generated with.
        seconds: Wall-clock seconds of the colorize call.
        size: Native output size (width, height): of the picture, or what its method says by `NATIVE_SIZE`.
        sha256: Digest of the written PNG's bytes.
    """

    method: str
    style: str
    chapter: str
    page: str
    seed: int
    seconds: float
    size: tuple[int, int]
    sha256: str


class PatchEncoder(Protocol):
    """Embeds patches for retrieval. ``name`` identifies architecture and weights in cache keys."""

    name: str

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return ``(N, D)`` float32 on the CPU for N RGB or L images of any size."""


class Style(Protocol):
    """Turns a colour page into the black-and-white query it is trained or tested with."""

    @property
    def name(self) -> str:
        """Name in records, tables and benchmark folders."""

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return an RGB image with three equal channels, same size as ``page``; all draws are from ``generator``."""

    def describe(self) -> dict[str, Any]:
        """Return JSON values that fix what is drawn: name, class, options, digests of weights."""


@runtime_checkable
class RecordedStyle(Protocol):
    """A style that takes what it draws, or a part of it, from a sample's renditions."""

    def bind(self, renditions: Mapping[str, Image.Image]) -> Style:
        """Return the style for one sample."""


def bind(style: Style, renditions: Mapping[str, Image.Image]) -> Style:
    """Return a style for one sample; most styles are the same for all."""
    return style.bind(renditions) if isinstance(style, RecordedStyle) else style


class Colorizer(Protocol):
    """Any method that colours pages in a benchmark. ``name`` is its row name."""

    name: str

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Colour one black-and-white page; any output size (the harness resizes)."""


@runtime_checkable
class BatchColorizer(Colorizer, Protocol):
    """A method that colours several pages in one pass; up to rounding a page's result does not depend on the others.

    A class that inherits it colours one page as a batch of one.
    """

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Colour one black-and-white page."""
        return self.colorize_batch([page], [references], seeds=[seed])[0]

    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Colour black-and-white pages, each from its own pool and seed."""


@runtime_checkable
class PoolColorizer(BatchColorizer, Protocol):
    """A method whose calls are dear: it gets all pages of a chapter with the same references, whatever the batch size.

    A call that fails is not tried again page by page.
    """

    whole_pools: bool
