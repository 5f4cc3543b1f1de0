"""A printed table of the paper with ours beside it, and whether our changes go the same way.

Absolute numbers of other pages, sizes and trainings do not compare; what an ablation claims is a direction. So each
row is taken against the full model on the same pages (paired differences), beside the paper's own difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from colorflow.evaluation.report.comparisons import Difference, paired_differences
from colorflow.evaluation.report.grid import Grid
from colorflow.evaluation.report.paper import FULL_MODEL, PAPER_METRICS, PaperRow, paper_table
from colorflow.evaluation.report.tables import label
from colorflow.evaluation.results import Results
from colorflow.metrics import find_metric

Direction = Literal["same", "other", "noise", "-"]


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
        style: Input of ours.
        metric: Key.
        ours: Mean difference on the same pages, in the metric's unit.
        interval: Of it, by bootstrap over chapters; None where there is none.
        paper: The printed difference.
    """

    row: PaperRow
    style: str
    metric: str
    ours: float
    interval: tuple[float, float] | None
    paper: float

    @property
    def direction(self) -> Direction:
        """Whether ours goes the paper's way; only an interval without 0 says that it goes any; ``-`` without one."""
        if self.interval is None:
            return "-"
        if self.interval[0] <= 0 <= self.interval[1]:
            return "noise"
        return "same" if self.ours * self.paper > 0 else "other"


def beside_paper(results: Results) -> list[Beside]:
    """Pair the printed rows with ours; empty for results that stand beside no printed table."""
    table = paper_table(results["protocol"])
    if table is None:
        return []
    rows = {(row["method"], row["style"]): row["metrics"] for row in results["rows"]}
    styles = list(dict.fromkeys(style for _, style in rows))
    pairs = []
    for row in table.rows:
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


def beside_grids(results: Results, differences: Sequence[Difference] | None = None) -> list[Grid]:
    """The printed table with ours beside it, and the changes against the full model; none without a printed table."""
    table, pairs = paper_table(results["protocol"]), beside_paper(results)
    if table is None:
        return []
    styles, benchmark = dict.fromkeys(pair.style for pair in pairs), results["protocol"]["benchmark"]
    head = ("input",) if len(styles) > 1 else ()
    grids = [
        Grid(
            title=f"Table {table.number}: {table.title}; ours / the paper's",
            note=f"Ours on benchmark {benchmark['name']}, {benchmark['pages']} pages, input {', '.join(styles)}; the "
            "paper's as printed, on pages that were never released: directions compare, levels do not.",
            headings=(*table.headings, *head, *(find_metric(name).heading for name in PAPER_METRICS)),
            rows=tuple(
                (*pair.paper.settings, *_if(head, pair.style), *(_cell(pair, name) for name in PAPER_METRICS))
                for pair in pairs
            ),
            texts=len(table.headings) + len(head),
        )
    ]
    if moved := changes(results, differences):
        grids.append(
            change_grid(
                moved,
                results,
                f"Change against {label(FULL_MODEL, results)}, on the same pages",
                "In brackets the interval by bootstrap over chapters, which FID lacks.",
            )
        )
    return grids


def change_grid(moved: Sequence[Change], results: Results, title: str, note: str) -> Grid:
    """Changes against the full model, ours beside the paper's, and whether they go the same way.

    Args:
        moved: The changes.
        results: Where their rows are called by their labels.
        title: Of the grid.
        note: Below it.
    """
    inputs = len({change.style for change in moved}) > 1
    head = ("input",) if inputs else ()
    return Grid(
        title=title,
        note=f"{note} Direction: the same as in the paper, the other, or noise, where the interval holds 0.",
        headings=("row", *head, "metric", "direction", "ours", "paper"),
        rows=tuple((label(change.row.method, results), *_if(head, change.style), *_change(change)) for change in moved),
        texts=3 + len(head),
    )


def _changes(pair: Beside, full: Beside, found: Mapping[tuple[str, str, str], Difference]) -> Iterator[Change]:
    for name in PAPER_METRICS:
        if name not in pair.ours or name not in full.ours:
            continue
        printed = pair.paper.metrics[name] - full.paper.metrics[name]
        paired = found.get((pair.paper.method, pair.style, name))
        if paired is None:  # a metric of all pages together
            yield Change(pair.paper, pair.style, name, pair.ours[name] - full.ours[name], None, printed)
        else:
            yield Change(pair.paper, pair.style, name, paired.value, paired.interval, printed)


def _cell(pair: Beside, name: str) -> str:
    """``ours / paper``; the sign - for what there is not."""
    shown = find_metric(name).format
    own = shown(pair.ours[name]) if name in pair.ours else "-"
    return f"{own} / {shown(pair.paper.metrics[name])}"


def _change(change: Change) -> tuple[str, ...]:
    column = find_metric(change.metric)
    ours, paper = (f"{value:+.{column.decimals}f}" for value in (change.ours, change.paper))
    if change.interval is not None:
        ours += " [{}, {}]".format(*(f"{end:+.{column.decimals}f}" for end in change.interval))
    return column.label, change.direction, ours, paper


def _if(head: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The cell of a column that is there or not."""
    return (text,) if head else ()
