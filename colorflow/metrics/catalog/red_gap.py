"""Mean difference of red between a page and its truth."""

from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import MetricSpec


def _red_gap(pair: PagePair) -> float:
    return abs(float((pair.pred - pair.target)[..., 0].mean()))


SPEC = MetricSpec(
    key="red_gap",
    label="red gap",
    decimals=3,
    higher_is_better=False,
    definition="mean difference of red; mean over pages",
    sees="pair",
    function=_red_gap,
)
