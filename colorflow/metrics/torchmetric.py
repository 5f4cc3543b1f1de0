"""Every metric on the torchmetrics contract: update with batches, compute over all pages.

What each page gave is the state, gathered over ranks by concatenation: results do not depend on how pages were batched,
ordered or sharded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from colorflow.metrics.networks import PageNetwork
from colorflow.metrics.spec import MetricSpec


class SpecMetric(Metric):
    """The metric of a spec: the mean over pages, the value of the set, or the mean over chapters.

    Args:
        spec: Which metric.
        network: The one it needs.
        **kwargs: torchmetrics' own (``sync_on_compute``, ``dist_sync_fn``, ...).
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, spec: MetricSpec, network: PageNetwork | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec, self.network = spec, network
        for side in spec.sides(network):
            self.add_state(side, default=[], dist_reduce_fx="cat")

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """Direction, as the spec says."""
        return self.spec.higher_is_better

    def update(self, preds: Tensor, target: Tensor | None = None, chapter: Tensor | None = None) -> None:
        """Add a batch of pages; arguments and errors as for a call of the spec.

        Args:
            preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
            target: The same; a metric of predictions alone needs none.
            chapter: ``(B,)`` integers, the chapter of each page; None: all of one.
        """
        numbers = [0] * len(preds) if chapter is None else chapter.tolist()
        answers = self.spec.answers(preds, target, self.network)
        for side, pages in zip(self.spec.sides(self.network), answers, strict=True):
            for number, rows in zip(numbers, pages, strict=True):
                named = torch.cat([torch.full((len(rows), 1), number, dtype=rows.dtype), rows], 1)
                getattr(self, side).append(named.to(self.device))

    def compute(self) -> Tensor:
        """Return the mean over pages or chapters, or the value of the set, a float64 scalar.

        ``inf`` where any page is; NaN where no chapter has a value.

        Raises:
            ValueError: Where no page was added.
        """
        sides = [getattr(self, side) for side in self.spec.sides(self.network)]
        if isinstance(sides[0], list) and not sides[0]:
            raise ValueError(f"{self.spec.key}: expected at least one page, got none; call update first")
        rows = [dim_zero_cat(side).cpu() for side in sides]
        if self.spec.sees != "chapter":
            return self.spec.reduce(*(side[:, 1:] for side in rows)).mean()
        chapters = [[side[side[:, 0] == number, 1:] for side in rows] for number in rows[0][:, 0].unique()]
        values = [self.spec.reduce(*chapter) for chapter in chapters]
        return torch.stack(values).nanmean() if values else torch.tensor(float("nan"), dtype=torch.float64)
