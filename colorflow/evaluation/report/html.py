"""The report page: one HTML file with its styles, scripts and numbers; pictures by relative links.

The score table, the strips and the protocol are plain HTML (``colorflow/assets/report/report.html``) and can be read
without scripts; sorting, filters, plots and zoom are the scripts' beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from colorflow.evaluation.report.assets import fill_page
from colorflow.evaluation.report.comparisons import Difference
from colorflow.evaluation.report.grid import Grid
from colorflow.evaluation.report.page_data import page_data
from colorflow.evaluation.report.tables import caption, columns, find_column, gaps, lines
from colorflow.evaluation.results import Results

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
