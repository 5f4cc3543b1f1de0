"""Colour by luminance, without weights: each quadrant of a page takes the colours of its best retrieved patch.

For every lightness the mean a and b of the patch's pixels of that lightness (after Welsh et al., *Transferring Color to
Greyscale Images*, 2002, with our retrieval for their swatches, and the whole distribution for their samples). The
overlapping quadrants are blended. What is known of a colour from its lightness alone, and no more.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage.filters import gaussian

from colorflow.baselines.lab import Floats, lightness, to_lab, to_page
from colorflow.baselines.nearest import check_pool, retrieval_row
from colorflow.methods import References, Rows, row_label
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import ReferencePool

_LEVELS = 101
_SPREAD = 2.0
"""Standard deviation, in L, over which the colours of neighbouring lightness are averaged (our choice)."""

_TRACE = 1e-6


def rows(retrieval: RetrievalSettings, references: References = "own", name: str = "color_transfer") -> Rows:
    """The row of `ColorTransfer`, which needs no weights."""
    label = row_label(name, "color_transfer", "Colour transfer")
    return retrieval_row(name, label, lambda retriever: ColorTransfer(retriever, name), references, retrieval, {})


class ColorTransfer:
    """Luminance-matched colour transfer from the best patch of each quadrant.

    Args:
        retriever: Finds the patches.
        name: Row name.
    """

    def __init__(self, retriever: SimilarityRetriever, name: str = "color_transfer") -> None:
        self.retriever, self.name = retriever, name

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Return the page in colour, at its own size and lightness; the seed is not used.

        Raises:
            NoReferenceError: For an empty pool.
        """
        check_pool(self.name, references)
        pool = self.retriever.index(references, page.size)
        best = {found.quadrant: found for found in self.retriever.select(page, pool, seed=seed) if found.rank == 0}
        light = lightness(page)
        total, weights = np.zeros((*light.shape, 2)), np.zeros(light.shape)
        for quadrant, place in enumerate(quadrant_places(page.size)):
            found = best[quadrant]
            chroma = _look_up(color_table(pool.patch_image(found.reference, found.patch)), light[place])
            weight = _window(*chroma.shape[:2])
            total[place] += weight[..., None] * chroma
            weights[place] += weight
        return to_page(to_lab(page)[..., 0], total / weights[..., None])


def color_table(patch: Image.Image) -> Floats:
    """Mean a and b of a colour patch by lightness: ``(101, 2)``, row L; one that it lacks takes its neighbours'."""
    levels = lightness(patch).round().astype(int).ravel()
    chroma = to_lab(patch)[..., 1:].reshape(-1, 2)
    values = [np.ones(len(levels)), *chroma.T]
    sums = np.stack([np.bincount(levels, weights, minlength=_LEVELS) for weights in values], axis=1)
    # A trace of a wide average fills the gaps that the narrow one leaves.
    near, far = (gaussian(sums, (spread, 0), mode="constant", preserve_range=True) for spread in (_SPREAD, _LEVELS))
    mixed = near + _TRACE * far
    return np.asarray(mixed[:, 1:] / mixed[:, :1])


def _look_up(table: Floats, light: Floats) -> Floats:
    """``(H, W, 2)`` of ``(H, W)`` L, interpolated."""
    return np.dstack([np.interp(light, np.arange(_LEVELS), table[:, i]) for i in range(2)])


def quadrant_places(size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Rows and columns of the quadrants TL, TR, BL, BR; what a side is over a multiple of four goes to the last."""
    rows, columns = ((slice(0, 3 * (side // 4)), slice(side // 4, side)) for side in (size[1], size[0]))
    return [(row, column) for row in rows for column in columns]


def _window(height: int, width: int) -> Floats:
    """Weights that fall from the middle of a quadrant to its edges, never to zero."""
    rows, columns = (1.001 - np.abs(np.linspace(-1, 1, side)) for side in (height, width))
    return np.outer(rows, columns)
