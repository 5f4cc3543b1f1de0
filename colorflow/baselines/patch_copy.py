"""Colour by copying, without weights: each small tile of a page takes the chroma of the tiles that look most like it.

The tiles come from the reference patches that our retrieval puts on the canvas. What copying what looks alike is worth,
without a network and without knowing what a thing is.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage.transform import resize
from skimage.util import view_as_windows
from sklearn.neighbors import NearestNeighbors

from colorflow.baselines.lab import Floats, lightness, to_lab, to_page
from colorflow.baselines.nearest import check_pool, retrieval_row
from colorflow.methods import References, Rows, row_label
from colorflow.retrieval.retriever import IndexedPool, SimilarityRetriever
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import ReferencePool, RetrievedPatch

_TILE, _STRIDE = 8, 4
"""Side and step of the tiles, pixels of the reduced page (our choice)."""


def rows(
    retrieval: RetrievalSettings,
    references: References = "own",
    neighbours: int = 16,
    side: int = 256,
    name: str = "patch_copy",
) -> Rows:
    """The row of `PatchCopy`, which needs no weights; options as there."""

    def build(retriever: SimilarityRetriever) -> PatchCopy:
        return PatchCopy(retriever, neighbours, side, name)

    label, settings = row_label(name, "patch_copy", "Patch copy"), {"neighbours": neighbours, "side": side}
    return retrieval_row(name, label, build, references, retrieval, settings)


class PatchCopy:
    """Nearest-tile colour copy from the retrieved patches.

    Args:
        retriever: Finds the patches.
        neighbours: Tiles whose chroma is averaged; 1 copies the nearest alone.
        side: Longer side that pages are reduced to, where tiles are compared; pixels.
        name: Row name.

    Raises:
        ValueError: For no neighbours, or a side too small for tiles.
    """

    def __init__(
        self, retriever: SimilarityRetriever, neighbours: int = 16, side: int = 256, name: str = "patch_copy"
    ) -> None:
        if neighbours < 1 or side < 4 * _TILE:
            raise ValueError(
                f"patch_copy: expected at least 1 neighbour and a side of at least {4 * _TILE} pixels, got "
                f"{neighbours} and {side}"
            )
        self.retriever, self.neighbours, self.side, self.name = retriever, neighbours, side, name

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Return the page in colour, at its own size and lightness; the seed is not used.

        Raises:
            NoReferenceError: For an empty pool.
        """
        check_pool(self.name, references)
        pool = self.retriever.index(references, page.size)
        sources = [self._reduced(view) for view in _views(pool, self.retriever.select(page, pool, seed=seed))]
        looks = np.concatenate([tile_looks(lightness(source)) for source in sources])
        chroma = np.concatenate([_tiles(to_lab(source)[..., 1:]) for source in sources])
        small = self._reduced(page)
        asked = tile_looks(lightness(small))
        search = NearestNeighbors(n_neighbors=min(self.neighbours, len(looks)), algorithm="brute").fit(looks)
        copied = chroma[search.kneighbors(asked, return_distance=False)].mean(axis=1)
        shown = _overlaid(copied, (small.height, small.width))
        return to_page(to_lab(page)[..., 0], resize(shown, (page.height, page.width), order=1))

    def _reduced(self, picture: Image.Image) -> Image.Image:
        """At the scale of a page whose longer side is ``side``; both sides fit a whole number of steps."""
        scale = min(1.0, self.side / max(picture.size))
        sides = [max(_TILE, round(side * scale / _STRIDE) * _STRIDE) for side in picture.size]
        return picture.convert("RGB").resize((sides[0], sides[1]), Image.Resampling.BOX)


def tile_looks(light: Floats) -> Floats:
    """``(N, 65)`` float32, what tiles of ``(H, W)`` L are compared by: their pixels, and the texture apart from edges.

    The mean counts as one pixel does, for each pixel holds it; the deviation is added, as it tells tones from flats
    where dots do not lie at the same places.
    """
    tiles = _tiles(light[..., None])[..., 0]
    deviation = tiles.std(axis=1, keepdims=True) * np.sqrt(tiles.shape[1])
    return np.concatenate([tiles, deviation], axis=1).astype(np.float32)


def _views(pool: IndexedPool, found: tuple[RetrievedPatch, ...]) -> list[Image.Image]:
    """Each retrieved view once."""
    return [pool.patch_image(*key) for key in dict.fromkeys((one.reference, one.patch) for one in found)]


def _tiles(picture: Floats) -> Floats:
    """``(N, pixels, C)`` of ``(H, W, C)``, row by row."""
    channels = picture.shape[2]
    windows = view_as_windows(picture, (_TILE, _TILE, channels), (_STRIDE, _STRIDE, 1))
    return windows.reshape(-1, _TILE * _TILE, channels)


def _overlaid(tiles: Floats, size: tuple[int, int]) -> Floats:
    """The inverse of `_tiles`: ``(H, W, C)``, the mean where tiles overlap."""
    channels = tiles.shape[2]
    total, count = np.zeros((*size, channels)), np.zeros((*size, 1))
    corners = (
        (top, left) for top in range(0, size[0] - _TILE + 1, _STRIDE) for left in range(0, size[1] - _TILE + 1, _STRIDE)
    )
    for tile, (top, left) in zip(tiles.reshape(-1, _TILE, _TILE, channels), corners, strict=True):
        total[top : top + _TILE, left : left + _TILE] += tile
        count[top : top + _TILE, left : left + _TILE] += 1
    return total / count
