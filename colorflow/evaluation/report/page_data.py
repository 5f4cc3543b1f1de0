"""What the scripts of the report page read: every page's scores and the differences, small enough for 1,500 pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from colorflow.evaluation.report.comparisons import Difference, page_metrics
from colorflow.evaluation.report.shown_pages import ranking_metrics
from colorflow.evaluation.report.tables import columns, label
from colorflow.evaluation.results import GRAY_COPY, Results
from colorflow.metrics import Column


def page_data(results: Results, differences: Sequence[Difference]) -> dict[str, Any]:
    """Gather the data of the page.

    Args:
        results: As ``build_results`` gives them.
        differences: As ``paired_differences`` gives them.

    Returns:
        Plain JSON. Scores come column by column and names as indices, which is a third of the size
        of one object a page; infinite values are the string ``inf``, absent ones null.
    """
    pages, metrics, shown = results["pages"], page_metrics(results), columns(results)
    names = {key: list(dict.fromkeys(page[key] for page in pages)) for key in ("method", "style", "chapter")}
    numbers = {key: {name: number for number, name in enumerate(values)} for key, values in names.items()}
    return {
        "metrics": {name: _describe(column) for name, column in shown.items()},
        "page_metrics": metrics,
        "ranking_metrics": ranking_metrics(results),
        "chapter_scores": _chapter_scores(results, names["chapter"]),
        "methods": [
            {"name": name, "label": label(name, results), "baseline": name == GRAY_COPY} for name in names["method"]
        ],
        "styles": names["style"],
        "chapters": names["chapter"],
        "confidence": results["protocol"]["intervals"]["confidence"],
        "pages": {
            "page": [page["page"] for page in pages],
            **{key: [numbers[key][page[key]] for page in pages] for key in names},
            "scores": {name: [_short(shown[name], page.get(name)) for page in pages] for name in metrics},
        },
        "differences": [_difference(one, shown[one.metric]) for one in differences],
    }


def _chapter_scores(results: Results, chapters: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Metrics of whole chapters, ``{metric: {style/method: a value a chapter}}``; results of older runs have none."""
    found: dict[str, dict[str, list[Any]]] = {}
    shown = columns(results)
    for row in results["rows"]:
        for metric, values in row.get("chapters", {}).items():
            if metric not in shown:
                continue
            short = [_short(shown[metric], values.get(chapter)) for chapter in chapters]
            found.setdefault(metric, {})[f"{row['style']}/{row['method']}"] = short
    return found


def _describe(column: Column) -> dict[str, Any]:
    return {"label": column.label, "decimals": column.decimals, "higher": column.higher_is_better}


def _short(column: Column, value: float | None) -> float | str | None:
    """Two digits more than are shown."""
    if value is None:
        return None
    return "inf" if math.isinf(value) else round(value, column.decimals + 2)


def _difference(difference: Difference, column: Column) -> dict[str, Any]:
    interval = difference.interval
    return asdict(difference) | {
        "value": _short(column, difference.value),
        "interval": [_short(column, end) for end in interval] if interval else None,
    }
