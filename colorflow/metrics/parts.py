"""Parts of characters in their own colors: of generated comics, whose truth says what is whose.

A page in the right colors on average may have every character in another's. Here each visible part (the hair of the
second character) is right if the mean chroma painted on it is nearer to its own color than to the color of the same
part of anyone else in the cast. What is drawn there does not help to guess: only who it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from colorflow.utils.color import LUMA

MIN_SHARE = 0.003
"""Share of a page under which a part is too small to judge (our choice: 18 pixels of 64 x 96)."""


class PartCount(NamedTuple):
    """Of a page, or summed over pages.

    Attributes:
        right: Parts in their own character's color.
        parts: Parts that were judged.
        chance: Parts that would be right by choosing among the cast.
    """

    right: int
    parts: int
    chance: float


def count_parts(
    pred: Tensor, labels: npt.NDArray[np.integer], colors: Sequence[Sequence[tuple[int, int, int]]]
) -> PartCount:
    """Count the parts of one page that are in their own character's color.

    Args:
        pred: ``(3, H, W)`` float in [0, 1].
        labels: ``(H, W)``, 0 elsewhere, ``1 + character * parts + part`` on a part, as ``ToonPage.labels``.
        colors: ``colors[character][part]``, levels of 255.

    Raises:
        ValueError: For labels of another size than the page's.
    """
    if labels.shape != tuple(pred.shape[1:]):
        raise ValueError(f"count_parts: expected labels of the page's {tuple(pred.shape[1:])}, got {labels.shape}")
    table = _chroma(torch.tensor(colors, dtype=torch.float64) / 255)
    cast, kinds = table.shape[:2]
    found, pixels = np.unique(labels[labels > 0], return_counts=True)
    seen = found[pixels >= MIN_SHARE * labels.size]
    right = 0
    for label in seen:
        character, part = divmod(int(label) - 1, kinds)
        painted = _chroma(pred[:, torch.from_numpy(labels == label)].double().mean(1))
        right += int((table[:, part] - painted).norm(dim=-1).argmin()) == character
    return PartCount(right, len(seen), len(seen) / cast)


def _chroma(colors: Tensor) -> Tensor:
    """``(..., 3)`` without their luma."""
    return colors - (colors * colors.new_tensor(LUMA)).sum(-1, keepdim=True)
