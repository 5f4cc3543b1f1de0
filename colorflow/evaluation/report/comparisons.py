"""Paired differences between the rows of a table: which method is better, by how much, and how sure that is.

Intervals of two rows may overlap widely while one is better on every page, since pages differ far more than
methods do. So pages are compared with themselves: a difference is taken page by page, and its interval by
bootstrap over chapters, as for the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import permutations

from colorflow.evaluation.report.grid import csv_text
from colorflow.evaluation.report.tables import columns
from colorflow.evaluation.results import Bootstrap, Results

Scores = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Difference:
    """Method minus rival on the pages that both have.

    Attributes:
        style: Input style of both.
        metric: Key of the metric.
        method: Row name.
        rival: Row name.
        value: Mean over pages of method - rival, in the metric's unit; the sign is not turned where less is better.
        interval: [low, high] by bootstrap over chapters; None for a single chapter.
        better: Pages on which the method is better.
        n: Pages compared.
        infinite: Pages left out because a value is infinite: a PSNR of identical pictures has no difference.
    """

    style: str
    metric: str
    method: str
    rival: str
    value: float
    interval: tuple[float, float] | None
    better: int
    n: int
    infinite: int


def page_metrics(results: Results) -> list[str]:
    """Metric keys that pages have, in table order; a metric of sets of pages, as FID, is not among them."""
    there = {name for page in results["pages"] for name in page if page[name] is not None}
    return [name for name in columns(results) if name in there]


def paired_differences(results: Results) -> list[Difference]:
    """Compare every two rows of one style, in both directions, by every metric that their pages have.

    Args:
        results: As ``build_results`` gives them.

    Returns:
        By style, metric, method and rival in the table's order; pairs without a page in common are left out.
    """
    known = {"samples", "confidence", "seed"}
    bootstrap = Bootstrap(**{key: item for key, item in results["protocol"]["intervals"].items() if key in known})
    differences, shown = [], columns(results)
    for style in dict.fromkeys(row["style"] for row in results["rows"]):
        methods = [row["method"] for row in results["rows"] if row["style"] == style]
        for metric in page_metrics(results):
            scores = {method: _scores(results, method, style, metric) for method in methods}
            sign = 1 if shown[metric].higher_is_better else -1
            for method, rival in permutations(methods, 2):
                names = style, metric, method, rival
                difference = _compare(scores[method], scores[rival], names, bootstrap, sign)
                if difference is not None:
                    differences.append(difference)
    return differences


def csv_differences(differences: Sequence[Difference]) -> str:
    """The differences as CSV, full precision."""
    head = [field.name for field in fields(Difference) if field.name != "interval"]
    rows = [
        [*(getattr(difference, name) for name in head), *(difference.interval or ("", ""))]
        for difference in differences
    ]
    return csv_text([[*head, "low", "high"], *rows])


def _scores(results: Results, method: str, style: str, metric: str) -> Scores:
    """The values of one row by (chapter, page)."""
    return {
        (page["chapter"], page["page"]): page[metric]
        for page in results["pages"]
        if (page["method"], page["style"]) == (method, style) and page.get(metric) is not None
    }


def _compare(
    ours: Scores, theirs: Scores, names: tuple[str, str, str, str], bootstrap: Bootstrap, sign: int
) -> Difference | None:
    common = [key for key in ours if key in theirs]
    by_chapter: dict[str, list[float]] = {}
    for key, difference in _finite(ours, theirs, common):
        by_chapter.setdefault(key[0], []).append(difference)
    values = [value for chapter in by_chapter.values() for value in chapter]
    if not values:
        return None
    interval = bootstrap.interval(by_chapter)
    return Difference(
        *names,
        value=math.fsum(values) / len(values),
        interval=(interval[0], interval[1]) if interval else None,
        better=sum(sign * value > 0 for value in values),
        n=len(values),
        infinite=len(common) - len(values),
    )


def _finite(ours: Scores, theirs: Scores, keys: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], float]]:
    for key in keys:
        if math.isfinite(ours[key]) and math.isfinite(theirs[key]):
            yield key, ours[key] - theirs[key]
