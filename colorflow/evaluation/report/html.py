"""The report page: one HTML file with its styles, scripts and numbers; pictures by relative links.

The score table, the strips and the protocol are plain HTML and can be read without scripts; sorting, filters,
plots and zoom are the scripts' of ``colorflow/assets/report``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from colorflow.evaluation.report.assets import fill_page, read_asset
from colorflow.evaluation.report.comparisons import Difference
from colorflow.evaluation.report.grids import Grid, html_grid
from colorflow.evaluation.report.page_data import page_data
from colorflow.evaluation.report.tables import COLUMNS, Cell, Line, caption, columns, gaps, lines

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
    results: Mapping[str, Any], strips: Sequence[Strip], differences: Sequence[Difference], grids: Sequence[Grid] = ()
) -> str:
    """Return the whole page.

    Args:
        results: As ``build_results`` gives them.
        strips: Pictures to show, in order.
        differences: As ``paired_differences`` gives them.
        grids: The paper's table with ours beside it, where there is one.
    """
    parts = {
        "name": escape(results["protocol"]["benchmark"]["name"]),
        "caption": escape(caption(results)),
        "table": _table(results),
        "gaps": _gaps(results),
        "beside": _beside(grids),
        "strips": "".join(_strip(strip) for strip in strips),
        "protocol": _protocol(results["protocol"]),
        "zoom": read_asset("zoom.html"),
    }
    title = f"{parts['name']}: colorization benchmark"
    return fill_page(
        "report.html", title, parts, styles=_STYLES, scripts=_SCRIPTS, data=page_data(results, differences)
    )


def _beside(grids: Sequence[Grid]) -> str:
    """A section of ready tables; empty without any."""
    cards = "".join(
        f'<div class="section-head"><div><h2 id="beside-{number}">{escape(grid.title)}</h2>'
        f'<p class="note">{escape(grid.note)}</p></div></div>'
        f'<div class="card scroll" tabindex="0" role="region" aria-labelledby="beside-{number}">{html_grid(grid)}</div>'
        for number, grid in enumerate(grids)
    )
    return f'<section id="beside" aria-labelledby="beside-0">{cards}</section>' if cards else ""


def _table(results: Mapping[str, Any]) -> str:
    heads = "".join(
        f'<th scope="col" class="number" data-metric="{name}">{escape(COLUMNS[name].label)}&nbsp;{COLUMNS[name].arrow}'
        "</th>"
        for name in columns(results)
    )
    styles = list(dict.fromkeys(row["style"] for row in results["rows"]))
    beside = sorted(lines(results), key=lambda line: styles.index(line.style))  # the paper's below ours of one input
    body = "\n".join(_line(line, columns(results)) for line in beside)
    return (
        '<table id="score-table"><thead><tr><th scope="col">method</th><th scope="col" class="input">input</th>'
        f'<th scope="col" class="number count">pages</th>{heads}</tr></thead><tbody>\n{body}\n</tbody></table>'
    )


def _gaps(results: Mapping[str, Any]) -> str:
    """Why rows have no numbers; empty where all have."""
    items = "".join(f"<li>{escape(text)}</li>" for text in gaps(results))
    return f'<ul class="note" id="gaps">{items}</ul>' if items else ""


def _line(line: Line, names: Sequence[str]) -> str:
    cells = "".join(_cell(cell, name) for cell, name in zip(line.cells, names, strict=True))
    mark = ' <span class="mark">as printed</span>' if line.paper else ""
    kind = " class=paper" if line.paper else "" if line.n else " class=gap"
    return (
        f'<tr{kind} data-method="{escape(line.method)}" '
        f'data-style="{escape(line.style)}"><th scope="row">{escape(line.label)}{mark}</th>'
        f'<td class="input">{escape(line.style)}</td>'
        f'<td class="number count" data-value="{line.n or ""}">{line.n or "&ndash;"}</td>'
        f"{cells}</tr>"
    )


def _cell(cell: Cell, name: str) -> str:
    if cell.value is None:
        return f'<td class="number" data-metric="{name}" data-value="">&ndash;</td>'
    interval = f"<small>{cell.interval}</small>" if cell.interval else ""
    best = " best" if cell.best else ""
    return f'<td class="number{best}" data-metric="{name}" data-value="{cell.value!r}">{cell.text}{interval}</td>'


def _strip(strip: Strip) -> str:
    figures = "".join(_figure(figure, strip) for figure in strip.figures)
    name = f"{escape(strip.chapter)}/{escape(strip.page)}"
    return (
        f'<article data-chapter="{escape(strip.chapter)}" data-page="{escape(strip.page)}" '
        f'data-style="{escape(strip.style)}" data-tags="{escape(" ".join(strip.tags))}">'
        f'<h3>{name} <span>{escape(strip.style)}</span></h3><div class="strip">{figures}</div></article>\n'
    )


def _figure(figure: Figure, strip: Strip) -> str:
    text = f"<figcaption><b>{escape(figure.title)}</b><span>{escape(figure.note)}</span></figcaption>"
    head = f'<figure data-key="{escape(figure.key)}">'
    if figure.link is None:
        return f'{head}<div class="missing">missing</div>{text}</figure>'
    link, (width, height) = quote(figure.link), figure.size
    alt = escape(f"{figure.title}, page {strip.chapter}/{strip.page}")
    image = f'<img src="{link}" width="{width}" height="{height}" loading="lazy" decoding="async" alt="{alt}">'
    return f'{head}<a href="{link}">{image}</a>{text}</figure>'


def _protocol(protocol: Mapping[str, Any]) -> str:
    items = {
        "Sizes": protocol["resize"],
        **{COLUMNS[name].label: text for name, text in protocol["definitions"].items() if name in COLUMNS},
        "SSIM window": protocol["ssim_window"],
        "Intervals": "{method}, {confidence:.0%}, {samples} samples, seed {seed}".format(**protocol["intervals"]),
        "Protocol": f"version {protocol['version']}, sha256 {protocol['sha256'][:16]}",
        "Benchmark": f"sha256 {protocol['benchmark']['sha256'][:16]}",
        "Versions": ", ".join(f"{name} {number}" for name, number in protocol["versions"].items()),
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in items.items())
    return f"<dl>{rows}</dl>"
