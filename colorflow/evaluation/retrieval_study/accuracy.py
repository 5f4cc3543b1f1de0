"""How often the pictures that are most similar to a query show the same character."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colorflow.evaluation.retrieval_study.pictures import CharacterPicture
from colorflow.retrieval.retriever import cosine_similarity

NEAREST = 3
"""Pictures looked at: a query patch is given its three nearest (paper section 3.1)."""


@dataclass(frozen=True)
class Accuracy:
    """What was found, query by query.

    Attributes:
        characters: Whom each query shows.
        hits: Whether its nearest, second and third nearest candidate show the same.
        chance: Probability that a blind choice among the candidates is right, mean over the queries; the same for
            one of three different blind choices.
    """

    characters: tuple[str, ...]
    hits: tuple[tuple[bool, ...], ...]
    chance: tuple[float, float]

    @property
    def top1(self) -> int:
        """Queries whose nearest candidate shows the same character."""
        return sum(nearest[0] for nearest in self.hits)

    @property
    def top3(self) -> int:
        """Queries of which one of the three nearest does."""
        return sum(any(nearest) for nearest in self.hits)

    def by_character(self) -> dict[str, dict[str, int]]:
        """Counts of each character: queries, top1, top3."""
        counts: dict[str, dict[str, int]] = {}
        for name, nearest in zip(self.characters, self.hits, strict=True):
            one = counts.setdefault(name, {"queries": 0, "top1": 0, "top3": 0})
            one["queries"] += 1
            one["top1"] += nearest[0]
            one["top3"] += any(nearest)
        return counts


def retrieval_accuracy(queries: Tensor, candidates: Tensor, pictures: Sequence[CharacterPicture]) -> Accuracy:
    """Look for each picture among the others; those of its own page are no candidates.

    Args:
        queries: ``(N, D)`` embeddings of the pictures as queries, in colour or gray.
        candidates: ``(N, D)`` embeddings of the pictures in colour.
        pictures: The N pictures.

    Raises:
        ValueError: Where a query has no right answer, or fewer than three candidates.
    """
    pages, names = ([getattr(picture, key) for picture in pictures] for key in ("page", "character"))
    allowed, same = ~_equal(pages), _equal(names)
    right = allowed & same
    if not right.any(1).all() or int(allowed.sum(1).min()) < NEAREST:
        lost = sorted({name for name, one in zip(names, right.any(1).tolist(), strict=True) if not one})
        raise ValueError(
            f"retrieval study: expected {NEAREST} pictures of other pages and one of the same character for every "
            f"query, got none of {', '.join(lost) or 'too few pictures'}; add pictures"
        )
    similarities = cosine_similarity(queries, candidates).masked_fill(~allowed, -2)
    nearest = similarities.sort(dim=1, descending=True, stable=True).indices[:, :NEAREST]
    hits = right.gather(1, nearest).tolist()
    chance = tuple(_chance(right.sum(1).tolist(), allowed.sum(1).tolist(), draws) for draws in (1, NEAREST))
    return Accuracy(tuple(names), tuple(tuple(one) for one in hits), (chance[0], chance[1]))


def _equal(names: Sequence[str]) -> Tensor:
    """``(N, N)`` bool: equal names."""
    numbers = torch.tensor([sorted(set(names)).index(name) for name in names])
    return numbers[:, None] == numbers[None, :]


def _chance(right: Sequence[int], allowed: Sequence[int], draws: int) -> float:
    """Probability of a right one among ``draws`` different candidates, mean over the queries."""
    missed = [math.comb(all_ - good, draws) / math.comb(all_, draws) for good, all_ in zip(right, allowed, strict=True)]
    return 1 - math.fsum(missed) / len(missed)
