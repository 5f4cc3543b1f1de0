"""A printed table of the paper with ours beside it, and whether our changes go the same way.

Absolute numbers of other pages, sizes and trainings do not compare; what an ablation claims is a direction. So each
row is taken against the full model on the same pages (paired differences), beside the paper's own difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from colorflow.evaluation.comparisons import Difference, paired_differences
from colorflow.evaluation.paper import FULL_MODEL, PAPER_METRICS, PaperRow, PaperTable, paper_table
from colorflow.evaluation.results import Results
from colorflow.evaluation.tables import COLUMNS, escape_latex, label

OWN_METRICS = ("chroma_psnr", "ciede2000")
"""Metrics of colour that the paper's tables lack and that ours stand on."""

Direction = Literal["same direction", "other direction", "within noise", "no interval"]


@dataclass(frozen=True)
class Beside:
    """A printed row and ours.

    Attributes:
        paper: The printed row.
        style: Input of our row: the printed one where we have it, else our first.
        ours: Our metrics by key; empty where we have no such row.
    """

    paper: PaperRow
    style: str
    ours: Mapping[str, float]


@dataclass(frozen=True)
class Change:
    """What a row changes against the full model, by one metric.

    Attributes:
        row: The printed row.
        metric: Key.
        ours: Mean difference on the same pages, in the metric's unit.
        interval: Of it, by bootstrap over chapters; None where there is none.
        paper: The printed difference.
    """

    row: PaperRow
    metric: str
    ours: float
    interval: tuple[float, float] | None
    paper: float

    @property
    def direction(self) -> Direction:
        """Whether ours goes the paper's way; only an interval without 0 says that it goes any."""
        if self.interval is None:
            return "no interval"
        if self.interval[0] <= 0 <= self.interval[1]:
            return "within noise"
        return "same direction" if self.ours * self.paper > 0 else "other direction"


def beside_paper(results: Results) -> list[Beside]:
    """Pair the printed rows with ours; empty for results that stand beside no printed table."""
    table = paper_table(results["protocol"])
    rows = {(row["method"], row["style"]): row["metrics"] for row in results["rows"]}
    styles = list(dict.fromkeys(style for _, style in rows))
    pairs = []
    for row in () if table is None else table.rows:
        style = row.style if row.style in styles or len({item.style for item in table.rows}) > 1 else styles[0]
        pairs.append(Beside(row, style, rows.get((row.method, style), {})))
    return pairs


def changes(results: Results, differences: Sequence[Difference] | None = None) -> list[Change]:
    """Compare each of our rows with the full model as the paper compares its own.

    Args:
        results: Ours.
        differences: As ``paired_differences`` gives them, where they are at hand.

    Returns:
        By row and metric, for the paper's metrics that both have.
    """
    pairs = beside_paper(results)
    if not pairs:
        return []
    found = {
        (item.method, item.style, item.metric): item
        for item in (paired_differences(results) if differences is None else differences)
        if item.rival == FULL_MODEL
    }
    full = {pair.style: pair for pair in pairs if pair.paper.method == FULL_MODEL}
    return [
        change
        for pair in pairs
        if pair.paper.method != FULL_MODEL and pair.ours
        for change in _changes(pair, full[pair.style], found)
    ]


def markdown_beside(results: Results, differences: Sequence[Difference] | None = None) -> str:
    """The table and the changes as Markdown; empty without a printed table."""
    table = paper_table(results["protocol"])
    if table is None:
        return ""
    names = _metrics(results)
    head = [*table.headings, "row", "input", *(f"{COLUMNS[name].label} {COLUMNS[name].arrow}" for name in names)]
    rows = [head, ["---"] * (len(head) - len(names)) + ["---:"] * len(names)]
    for pair in beside_paper(results):
        rows.append([*pair.paper.settings, label(pair.paper.method), pair.style, *_cells(pair, names)])
    parts = [f"**{_title(table)}**", _markdown(rows), _note(results)]
    if moved := changes(results, differences):
        heads = ["row", "input", "metric", "ours", "paper", "ours goes"]
        parts += [
            f"Change against {label(FULL_MODEL)}, on the same pages:",
            _markdown(
                [heads, ["---", "---", "---", "---:", "---:", "---"], *([*_change(item, results)] for item in moved)]
            ),
        ]
    return "\n\n".join(parts) + "\n"


def latex_beside(results: Results) -> str:
    """The table as LaTeX (booktabs), ours / the paper's in a cell; empty without a printed table."""
    table = paper_table(results["protocol"])
    if table is None:
        return ""
    names = _metrics(results)
    arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    head = [*table.headings, "Input", *(f"{COLUMNS[name].label} {arrows[COLUMNS[name].arrow]}" for name in names)]
    lines = [
        " & ".join(escape_latex(text) for text in (*pair.paper.settings, pair.style, *_cells(pair, names))) + r" \\"
        for pair in beside_paper(results)
    ]
    body = ["\\toprule", " & ".join(head) + r" \\", "\\midrule", *lines, "\\bottomrule"]
    columns = "l" * (len(head) - len(names)) + "r" * len(names)
    return "\n".join(
        [f"% {_title(table)}. {_note(results)}", f"\\begin{{tabular}}{{{columns}}}", *body, "\\end{tabular}", ""]
    )


def print_beside(results: Results, console: Console | None = None) -> None:
    """Print the table and the changes to the console; nothing without a printed table."""
    table = paper_table(results["protocol"])
    if table is None:
        return
    names = [name for name in _metrics(results) if any(name in pair.ours for pair in beside_paper(results))]
    shown = Table(box=SIMPLE_HEAD, title=_title(table), title_justify="left", caption=_note(results))
    for heading in (*table.headings, "input"):
        shown.add_column(heading)
    for name in names:
        shown.add_column(f"{COLUMNS[name].label} {COLUMNS[name].arrow}", justify="right")
    for pair in beside_paper(results):
        shown.add_row(*pair.paper.settings, pair.style, *_cells(pair, names))
    console = console or Console()
    console.print(shown)
    for change in changes(results):
        row, style, metric, ours, paper, direction = _change(change, results)
        console.print(f"{row} ({style}): {metric} {ours} against {paper} in the paper: {direction}", highlight=False)


def _changes(pair: Beside, full: Beside, found: Mapping[tuple[str, str, str], Difference]) -> Iterator[Change]:
    for name in PAPER_METRICS:
        if name not in pair.ours or name not in full.ours:
            continue
        printed = pair.paper.metrics[name] - full.paper.metrics[name]
        paired = found.get((pair.paper.method, pair.style, name))
        if paired is None:  # a metric of all pages together
            yield Change(pair.paper, name, pair.ours[name] - full.ours[name], None, printed)
        else:
            yield Change(pair.paper, name, paired.value, paired.interval, printed)


def _metrics(results: Results) -> list[str]:
    """The paper's metrics, then ours of colour where they were measured."""
    there = {name for row in results["rows"] for name in row["metrics"]}
    return [*PAPER_METRICS, *(name for name in OWN_METRICS if name in there)]


def _cells(pair: Beside, names: Sequence[str]) -> list[str]:
    """``ours / paper``; the sign - for what there is not."""
    cells = []
    for name in names:
        ours, printed = pair.ours.get(name), pair.paper.metrics.get(name)
        own = "-" if ours is None else COLUMNS[name].format(ours)
        cells.append(own if name in OWN_METRICS else f"{own} / {COLUMNS[name].format(printed or 0.0)}")
    return cells


def _change(change: Change, results: Results) -> tuple[str, str, str, str, str, str]:
    column = COLUMNS[change.metric]
    ours = f"{change.ours:+.{column.decimals}f}"
    if change.interval is not None:
        low, high = (f"{end:+.{column.decimals}f}" for end in change.interval)
        ours = f"{ours} [{low}, {high}]"
    style = next(pair.style for pair in beside_paper(results) if pair.paper is change.row)
    paper = f"{change.paper:+.{column.decimals}f}"
    return label(change.row.method), style, column.label, ours, paper, change.direction


def _title(table: PaperTable) -> str:
    return f"Table {table.number}: {table.title}; ours / the paper's"


def _note(results: Results) -> str:
    benchmark = results["protocol"]["benchmark"]
    return (
        f"Ours on benchmark {benchmark['name']}, {benchmark['pages']} pages; the paper's as printed, on pages that were "
        "never released: directions compare, levels do not."
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
