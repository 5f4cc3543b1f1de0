"""Colour-identity consistency: is what has one colour all through a chapter also painted in one colour?

docs/metrics.md has the definition. Labels, where there are any, as in toon chapters, take the place of cells of colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from colorflow.metrics.color import FloatArray
from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import MetricSpec

CELL = 8.0
"""Side of a cell of Lab (our choice: three to four just noticeable differences of 2.3)."""

MIN_CHROMA = 10.0
"""Chroma under which a colour of the truth counts as gray (our choice)."""

MIN_SHARE = 0.001
"""Share of a page under which a region is too small to see (our choice: 20 x 20 pixels of 512 x 800)."""

COLUMNS = 5
"""Of a region: identity, then painted a, painted b, true a, true b (means over its pixels)."""

_AXIS = 32
"""Cells an axis: of CELL units, -16 to 15 hold every a and b of sRGB."""


@dataclass(frozen=True)
class Consistency:
    """Of one chapter.

    Attributes:
        identity: ``between / max(between + within, 1)``, in [0, 1], higher is better.
        drift: Root of ``within``, units of Lab, lower is better; a gray copy has none.
        identities: How many were seen on two pages or more.
    """

    identity: float
    drift: float
    identities: int


def page_regions(pred_lab: FloatArray, true_lab: FloatArray, labels: npt.NDArray[np.integer] | None = None) -> Tensor:
    """Find the regions of one page and what is painted there.

    Args:
        pred_lab: ``(3, H, W)`` float64, as ``colorflow.metrics.color.lab`` gives it.
        true_lab: The same of the truth.
        labels: ``(H, W)`` integers, 0 where there is nothing; None: the cells of the truth's colours.

    Returns:
        ``(R, 5)`` float64, as ``COLUMNS`` says, identities ascending.

    Raises:
        ValueError: For labels of another size.
    """
    height, width = true_lab.shape[1:]
    if labels is not None and labels.shape != (height, width):
        raise ValueError(f"labels: expected {(height, width)} as the page, got {labels.shape}")
    names = _cells(true_lab) if labels is None else np.asarray(labels, dtype=np.int64)
    inner = names[1:-1, 1:-1]
    keep = inner > 0
    for down in range(3):
        for right in range(3):
            keep &= names[down : down + height - 2, right : right + width - 2] == inner
    found, place, pixels = np.unique(inner[keep], return_inverse=True, return_counts=True)
    colors = [plane[1:-1, 1:-1][keep] for plane in (*pred_lab[1:], *true_lab[1:])]
    means = [np.bincount(place, color, len(found)) / pixels for color in colors]
    seen = pixels >= MIN_SHARE * height * width
    return torch.from_numpy(np.stack([found, *means], axis=1)[seen].astype(np.float64))


def consistency(regions: Tensor) -> Consistency | None:
    """Reduce the regions of a chapter's pages, in any order.

    Args:
        regions: ``(R, 5)`` of all pages together, as ``page_regions`` gives them.

    Returns:
        None where fewer than two identities are on two pages: there is nothing to compare.
    """
    rows = regions.reshape(-1, COLUMNS).numpy()
    means, variances = [], []
    for name in np.unique(rows[:, 0]):
        region = rows[rows[:, 0] == name]
        if len(region) < 2:
            continue
        painted, true = region[:, 1:3], region[:, 3:5]
        color = painted - true + true.mean(0)
        means.append(color.mean(0))
        variances.append(color.var(0).sum())
    if len(means) < 2:
        return None
    between, within = float(np.var(means, axis=0).sum()), float(np.mean(variances))
    return Consistency(between / max(between + within, 1.0), within**0.5, len(means))


def _cells(true_lab: FloatArray) -> npt.NDArray[np.int64]:
    """The cell of each pixel, above 0; 0 for grays."""
    index = np.floor(true_lab / CELL).astype(np.int64)
    index[1:] += _AXIS // 2
    cells = (index[0] * _AXIS + index[1]) * _AXIS + index[2] + 1
    gray = true_lab[1] ** 2 + true_lab[2] ** 2 < MIN_CHROMA**2
    return np.where(gray, 0, cells)


def _regions(pair: PagePair) -> Tensor:
    return page_regions(*pair.labs)


def _identity(regions: Tensor) -> float:
    found = consistency(regions)
    return float("nan") if found is None else found.identity


SPEC = MetricSpec(
    key="color_identity",
    label="colour identity",
    decimals=3,
    higher_is_better=True,
    note="Colour identity is a mean over chapters; a gray copy has 0.",
    definition="share of the variance of painted chroma that a region's identity in the truth explains over a chapter; "
    "mean over chapters",
    sees="chapter",
    function=_identity,
    page=_regions,
)
