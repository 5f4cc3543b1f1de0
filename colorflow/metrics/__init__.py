"""Metrics of coloured pages; docs/metrics.md defines them, and says how to add one.

A metric is a `MetricSpec`, found by its name: here as an attribute, ``colorflow.metrics.psnr(preds, target)``; in a
config as ``metrics.names=[psnr,other_package.metric]``. `SpecMetric` puts each of them on the torchmetrics contract.
"""

from colorflow.metrics.networks import PageNetwork
from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import FREE_METRICS, Column, MetricSettings, MetricSpec, find_metric, is_ours, metric_names
from colorflow.metrics.torchmetric import SpecMetric
from colorflow.metrics.weights import WrongWeightsError
from colorflow.utils.tensors import MissingWeightsError

__all__ = [
    "FREE_METRICS",
    "Column",
    "MetricSettings",
    "MetricSpec",
    "MissingWeightsError",
    "PageNetwork",
    "PagePair",
    "SpecMetric",
    "WrongWeightsError",
    "find_metric",
    "is_ours",
    "metric_names",
]


def __getattr__(name: str) -> MetricSpec:
    """The metrics of the catalog by name."""
    if name not in metric_names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return find_metric(name)
