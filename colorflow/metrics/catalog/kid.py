"""Kernel inception distance of all pages (Binkowski et al. 2018), unbiased: it may be negative."""

from colorflow.metrics.distances import kernel_distance
from colorflow.metrics.inception import NOTE, inception
from colorflow.metrics.spec import MetricSpec

SPEC = MetricSpec(
    key="kid",
    label="KID",
    decimals=4,
    higher_is_better=False,
    place=3,
    note=NOTE,
    definition="unbiased MMD^2 of the same features, kernel (x . y / 2048 + 1)^3, all pages in one block; no interval: "
    "a resample repeats pages",
    sees="set",
    function=kernel_distance,
    network=inception,
)
