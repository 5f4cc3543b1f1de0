"""Improved precision of all pages (Kynkaanniemi et al. 2019, equations 1 and 2): how many look like a real one."""

from __future__ import annotations

import torch
from torch import Tensor

from colorflow.metrics.inception import inception
from colorflow.metrics.spec import MetricSpec

NEIGHBORS = 3
"""k of the paper."""


def manifold_precision(preds: Tensor, target: Tensor) -> Tensor:
    """Share of ``(N, D)`` features that lie within the k-th neighbor's distance of one of the ``(M, D)`` true ones."""
    truth = target.double()
    between = torch.cdist(truth, truth).fill_diagonal_(torch.inf)
    radii = between.kthvalue(min(NEIGHBORS, len(truth) - 1), dim=1).values
    return (torch.cdist(preds.double(), truth) <= radii).any(1).double().mean()


SPEC = MetricSpec(
    key="precision",
    label="Precision",
    decimals=3,
    higher_is_better=True,
    definition="share of the pages whose Inception features lie within the true pages' manifold, k = 3",
    sees="set",
    function=manifold_precision,
    network=inception,
)
