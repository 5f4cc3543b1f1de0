"""Parts of characters in their own colors: of generated comics, whose truth says what is whose.

A page in the right colors on average may have every character in another's. Here each visible part (the hair of the
second character) is right if the mean chroma painted on it is nearer to its own color than to the color of the same
part of anyone else in the cast. What is drawn there does not help to guess: only who it is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import MetricSpec
from colorflow.toon import PARTS
from colorflow.utils.color import LUMA

MIN_SHARE = 0.003
"""Share of a page under which a part is too small to judge (our choice: 18 pixels of 64 x 96)."""


def judged_parts(pair: PagePair) -> Tensor:
    """One row for each part that is large enough: 1 if it is in its own character's color, and the share of a guess.

    Returns:
        ``(R, 2)`` float64; no rows for a page without labels.
    """
    if pair.parts is None:
        return torch.zeros(0, 2, dtype=torch.float64)
    labels = np.asarray(pair.parts)
    colors = np.array(pair.parts.getpalette("RGB"), dtype=np.float64).reshape(-1, 3)[1:] / 255
    table = _chroma(colors[: len(colors) // len(PARTS) * len(PARTS)]).reshape(-1, len(PARTS), 3)
    found, pixels = np.unique(labels[labels > 0], return_counts=True)
    rows = []
    for label in found[pixels >= MIN_SHARE * labels.size]:
        character, part = divmod(int(label) - 1, len(PARTS))
        painted = _chroma(pair.pred[labels == label].mean(0))
        nearest = np.linalg.norm(table[:, part] - painted, axis=-1).argmin()
        rows.append([float(nearest == character), 1 / len(table)])
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)


def _chroma(colors: np.ndarray) -> np.ndarray:
    """``(..., 3)`` without their luma."""
    return colors - (colors * np.array(LUMA)).sum(-1, keepdims=True)


def _share(rows: Tensor) -> float:
    return float(rows[:, 0].mean()) if rows.numel() else float("nan")


SPEC = MetricSpec(
    key="part_accuracy",
    label="part accuracy",
    decimals=3,
    higher_is_better=True,
    note="Part accuracy is a mean over chapters; guessing among a cast of n has 1 / n.",
    definition="share of the visible parts of characters whose mean painted chroma is nearest to their own character's "
    "color among the cast's colors of the same part; mean over chapters, generated comics only",
    sees="chapter",
    function=_share,
    page=judged_parts,
)
