"""The report page: one HTML file with its styles, scripts and numbers; pictures by relative links.

The score table, the strips and the protocol are plain HTML (``colorflow/assets/report/report.html``) and can be read
without scripts; sorting, filters, plots and zoom are the scripts' beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from colorflow.evaluation.report.comparisons import Difference, page_metrics
from colorflow.evaluation.report.grid import Grid
from colorflow.evaluation.report.strips import ranking_metrics
from colorflow.evaluation.report.tables import caption, columns, find_column, gaps, label, lines
from colorflow.evaluation.results import GRAY_COPY, Results
from colorflow.metrics import Column


def fill_page(
    template: str, values: Mapping[str, Any], *, styles: Sequence[str], scripts: Sequence[str], data: Any
) -> str:
    """Return a page that needs no other file but its pictures.

    Args:
        template: Asset that extends ``frame.html``.
        values: What it shows, by name; escaped there.
        styles: Assets, in order.
        scripts: Assets, in order; they share one scope.
        data: JSON that the scripts read.
    """
    # In a script element "<" could begin an end tag or a comment; JSON may write it as an escape.
    embedded = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    style = "\n".join(_read(name) for name in styles)
    script = "\n".join(['"use strict";', *(_read(name) for name in scripts)])
    return _templates().get_template(template).render(values, style=style, script=script, data=embedded)


@cache
def _templates() -> Environment:
    loader = PackageLoader("colorflow", "assets/report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _read(name: str) -> str:
    return files("colorflow").joinpath("assets", "report", name).read_text(encoding="utf-8")


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


_STYLES = ("base.css", "report.css", "zoom.css")
_SCRIPTS = (
    "theme.js", "dom.js", "state.js", "scores.js", "svg.js", "differences.js", "chapters.js", "strips.js", "zoom.js",
    "pages.js",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One picture of the page: what it shows, heading, relative link (None where missing), size, note."""

    key: str
    title: str
    link: str | None
    size: tuple[int, int]
    note: str


@dataclass(frozen=True)
class Strip:
    """The pictures of one benchmark page; ``tags`` say why it is shown."""

    chapter: str
    page: str
    style: str
    tags: tuple[str, ...]
    figures: tuple[Figure, ...]


def html_page(
    results: Results, strips: Sequence[Strip], differences: Sequence[Difference], grids: Sequence[Grid] = ()
) -> str:
    """Return the whole page.

    Args:
        results: As ``build_results`` gives them.
        strips: Pictures to show, in order.
        differences: As ``paired_differences`` gives them.
        grids: The paper's table with ours beside it, where there is one.
    """
    protocol, shown = results["protocol"], columns(results)
    styles = list(dict.fromkeys(row["style"] for row in results["rows"]))
    beside = sorted(lines(results), key=lambda line: styles.index(line.style))  # the paper's below ours of one input
    values = {
        "title": f"{protocol['benchmark']['name']}: colorization benchmark",
        "protocol": protocol,
        "definitions": [
            (column.label, text)
            for name, text in protocol["definitions"].items()
            if (column := find_column(results, name))
        ],
        "versions": ", ".join(f"{name} {number}" for name, number in protocol["versions"].items()),
        "caption": caption(results),
        "columns": shown,
        "lines": beside,
        "gaps": gaps(results),
        "grids": grids,
        "strips": strips,
    }
    return fill_page("report.html", values, styles=_STYLES, scripts=_SCRIPTS, data=page_data(results, differences))
