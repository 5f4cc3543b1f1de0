"""Frechet inception distance of all pages (Heusel et al. 2017)."""

from colorflow.metrics.distances import frechet_distance
from colorflow.metrics.inception import NOTE, inception
from colorflow.metrics.spec import MetricSpec

SPEC = MetricSpec(
    key="fid",
    label="FID",
    decimals=2,
    higher_is_better=False,
    place=2,
    note=NOTE,
    definition="Frechet distance of Inception's 2,048 pooled features over all pages of the row; no interval: it is "
    "biased by N, and a resample repeats pages; compare only at equal n",
    sees="set",
    function=frechet_distance,
    network=inception,
)
