"""CIEDE2000 colour difference (Sharma et al. 2005, kL = kC = kH = 1); about 1 is just noticeable."""

from __future__ import annotations

from colorflow.metrics.color import mean_ciede2000
from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import MetricSpec


def _ciede2000(pair: PagePair) -> float:
    return mean_ciede2000(*pair.labs)


SPEC = MetricSpec(
    key="ciede2000",
    label="CIEDE2000",
    decimals=2,
    higher_is_better=False,
    definition="mean CIEDE2000 over the pixels of a page; mean over pages",
    sees="pair",
    function=_ciede2000,
)
