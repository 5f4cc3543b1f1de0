"""Metrics by a network, and the sequence metric, on the torchmetrics contract.

State is what each page gave (a value, its features, its regions), gathered over ranks by concatenation:
results do not depend on how pages were batched, ordered or sharded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from colorflow.metrics.classes import PageMetric
from colorflow.metrics.distances import frechet_distance, kernel_distance
from colorflow.metrics.identity import COLUMNS, chapter_regions, consistency
from colorflow.metrics.networks import PageNetwork
from colorflow.metrics.perceptual import aesthetic, clip_is, lpips


class NetworkMetric(PageMetric):
    """Mean over pages of a value by a network.

    Args:
        network: Which one.
        **kwargs: torchmetrics' own.
    """

    def __init__(self, network: PageNetwork, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network


class ClipIS(NetworkMetric):
    """Mean over pages of ``colorflow.metrics.clip_is``."""

    higher_is_better = True

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``clip_is`` of each page."""
        return clip_is(preds, target, self.network)


class LPIPS(NetworkMetric):
    """Mean over pages of ``colorflow.metrics.lpips``; lower is better."""

    higher_is_better = False

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``lpips`` of each page."""
        return lpips(preds, target, self.network)


class AestheticScore(NetworkMetric):
    """Mean over pages of ``colorflow.metrics.aesthetic``; the truth may be given and is not looked at."""

    higher_is_better = True

    def update(self, preds: Tensor, target: Tensor | None = None) -> None:
        """Add a batch of pages, ``(B, 3, H, W)`` float in [0, 1].

        Raises:
            TypeError, ValueError: As for ``colorflow.metrics.aesthetic``.
        """
        self.values.append(aesthetic(preds, self.network).to(self.device))


class FeatureDistance(Metric):
    """A distance of the features of all predictions from those of all truths.

    Args:
        network: Makes the features.
        **kwargs: torchmetrics' own.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False
    preds: list[Tensor]
    target: list[Tensor]

    def __init__(self, network: PageNetwork, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.add_state("preds", default=[], dist_reduce_fx="cat")
        self.add_state("target", default=[], dist_reduce_fx="cat")

    def distance(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return a float64 scalar of ``(N, D)`` and ``(M, D)``."""
        raise NotImplementedError

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of pages, each ``(B, 3, H, W)`` float in [0, 1]; sizes may differ.

        Raises:
            TypeError, ValueError: For anything else.
        """
        self.preds.append(self.network(preds).to(self.device))
        self.target.append(self.network(target).to(self.device))

    def compute(self) -> Tensor:
        """Return the distance.

        Raises:
            ValueError: Where fewer than two pages were added.
        """
        if isinstance(self.preds, list) and not self.preds:
            raise ValueError(f"{type(self).__name__}: expected at least two pages, got none; call update first")
        return self.distance(dim_zero_cat(self.preds), dim_zero_cat(self.target))


class FID(FeatureDistance):
    """``colorflow.metrics.fid`` of all pages."""

    def distance(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``frechet_distance``."""
        return frechet_distance(preds, target)


class KID(FeatureDistance):
    """``colorflow.metrics.kid`` of all pages."""

    def distance(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``kernel_distance``."""
        return kernel_distance(preds, target)


class ColorIdentity(Metric):
    """Mean over chapters of ``colorflow.metrics.color_identity``; NaN where no chapter has one.

    Args:
        **kwargs: torchmetrics' own.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    regions: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("regions", default=[], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor, chapter: Tensor | None = None) -> None:
        """Add a batch of pages.

        Args:
            preds: ``(B, 3, H, W)`` float in [0, 1], sRGB.
            target: The same.
            chapter: ``(B,)`` integers, the chapter of each page; None: all of one.

        Raises:
            TypeError, ValueError: As for ``color_identity``.
        """
        numbers = torch.zeros(len(preds)) if chapter is None else chapter
        for number, rows in zip(numbers.tolist(), chapter_regions(preds, target), strict=True):
            named = torch.cat([torch.full((len(rows), 1), number, dtype=rows.dtype), rows], dim=1)
            self.regions.append(named.to(self.device))

    def compute(self) -> Tensor:
        """Return the mean over chapters, a float64 scalar.

        Raises:
            ValueError: Where no page was added.
        """
        if isinstance(self.regions, list) and not self.regions:
            raise ValueError("ColorIdentity: expected at least one page, got none; call update first")
        rows = dim_zero_cat(self.regions).cpu().reshape(-1, COLUMNS + 1)
        found = [consistency([rows[rows[:, 0] == number, 1:]]) for number in rows[:, 0].unique()]
        values = [each.identity for each in found if each is not None]
        return torch.tensor(values, dtype=torch.float64).mean()
