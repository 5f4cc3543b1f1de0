"""The results as tables: one reading of the rows, written as Markdown, LaTeX, CSV and to the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from colorflow.evaluation.report.grid import Cell, Grid, csv_text
from colorflow.evaluation.report.paper import SYSTEMS, paper_rows, paper_table
from colorflow.evaluation.results import GRAY_COPY, Results, Row
from colorflow.methods import row_label
from colorflow.metrics import Column, find_metric, metric_names

_MARGINS = (
    ("psnr", GRAY_COPY, "the gray copy"),
    ("psnr", "{}_wrong_references", "references of another chapter"),
    ("ssim", "{}_icp", "ICP alone"),
)
"""Metric, row it is compared with, and what that row is."""


@dataclass(frozen=True)
class Line:
    """One row of a table. ``paper`` marks the paper's printed numbers; these have no n, nor have incomplete rows."""

    method: str
    label: str
    style: str
    n: int | None
    cells: tuple[Cell, ...]
    paper: bool


def label(method: str, results: Results | None = None) -> str:
    """What a row name is called: as its row in results says; else by the paper's name of the system, or in words."""
    rows = () if results is None else (*results["rows"], *results.get("incomplete", ()))
    said = {row["method"]: row.get("label") for row in rows}
    system = next((name for name in SYSTEMS if f"{method}_".startswith(f"{name}_")), "")
    return said.get(method) or row_label(method, system, SYSTEMS.get(system, ""))


def columns(results: Results) -> dict[str, Column]:
    """How to show every metric that a row has, ours or the paper's, by key in table order.

    Metrics of other packages are shown as the results say, and their package is not asked for.
    """
    there = dict.fromkeys(name for row in (*results["rows"], *_papers_rows(results)) for name in row["metrics"])
    known = filter(None, (find_column(results, name) for name in there))
    return {column.key: column for column in sorted(known, key=lambda column: column.place)}


def find_column(results: Results, name: str) -> Column | None:
    """How to show one metric; None where neither the results nor the catalog know it."""
    if told := results["protocol"].get("columns", {}).get(name):
        return Column(**told)
    return find_metric(name) if name in metric_names() else None


def lines(results: Results) -> list[Line]:
    """The rows to print: ours in order, those without numbers, then the paper's where the benchmark has its shape."""
    shown, rows = columns(results), (*results["rows"], *results["incomplete"])
    ours = [_line(results, row, shown, label(row["method"], results)) for row in rows]
    papers = [
        _line(results, row, shown, f"{label(row['method'], results)} (paper)", paper=True)
        for row in _papers_rows(results)
    ]
    return [*ours, *papers]


def _line(results: Results, row: Row, shown: Mapping[str, Column], title: str, *, paper: bool = False) -> Line:
    cells = tuple(_cell(row, column, results["rows"]) for column in shown.values())
    return Line(row["method"], title, row["style"], row.get("n"), cells, paper)


def gaps(results: Results) -> list[str]:
    """Why rows have no numbers, a text a method and reason."""
    styles: dict[tuple[str, str], list[str]] = {}
    for row in results["incomplete"]:
        styles.setdefault((row["method"], row["reason"]), []).append(row["style"])
    return [f"{label(name, results)} ({', '.join(of)}): {reason}" for (name, reason), of in styles.items()]


def markdown_table(results: Results) -> str:
    """A Markdown table, best of our rows in bold, 95 % intervals in brackets."""
    table = Grid(
        headings=("method", "input", "pages", *(column.heading for column in columns(results).values())),
        rows=tuple((line.label, line.style, str(line.n or "-"), *line.cells) for line in lines(results)),
        texts=2,
        note=caption(results),
    ).markdown()
    items = "\n".join("- " + text.replace("\n", "\n  ") for text in gaps(results))
    return f"{table}\nWithout numbers:\n\n{items}\n" if items else table


def latex_table(results: Results) -> str:
    """A LaTeX table for booktabs, best of our rows in bold; the paper's rows stand apart."""
    rows = lines(results)
    first = next((place for place, line in enumerate(rows) if line.paper), 0)
    return Grid(
        headings=("Method", "Input", *(column.heading for column in columns(results).values())),
        rows=tuple((line.label, line.style, *line.cells) for line in rows),
        texts=2,
        note=caption(results),
        rules=(first,) if first else (),
    ).latex()


def csv_table(results: Results) -> str:
    """Our rows as CSV, full precision, with the ends of the intervals."""
    names = [name for name in columns(results) if any(name in row["metrics"] for row in results["rows"])]
    rows = [["method", "style", "n", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]]
    for row in results["rows"]:
        values = [row["method"], row["style"], row["n"]]
        for name in names:
            values += [row["metrics"].get(name, ""), *(row["intervals"].get(name) or ("", ""))]
        rows.append(values)
    return csv_text(rows)


def csv_pages(results: Results) -> str:
    """The per-page rows as CSV."""
    head = list(results["pages"][0]) if results["pages"] else []
    return csv_text([head, *([page[name] for name in head] for page in results["pages"])])


def print_table(results: Results, console: Console | None = None) -> None:
    """Print our rows to the console; intervals and the paper's rows are in the files."""
    console, ours = console or Console(), [line for line in lines(results) if not line.paper]
    several = len({line.style for line in ours}) > 1
    Grid(
        headings=("method", *_if(several, "input"), "pages", *(column.heading for column in columns(results).values())),
        rows=tuple((line.label, *_if(several, line.style), str(line.n or "-"), *line.cells) for line in ours),
        texts=2 if several else 1,
        note=caption(results, intervals=False),
    ).print(console)
    for text in (*margins(results), *gaps(results)):
        console.print(text, highlight=False, markup=False)


def _if(there: bool, text: str) -> tuple[str, ...]:
    """The cell of a column that is there or not."""
    return (text,) if there else ()


def margins(results: Results) -> list[str]:
    """What a table of trained rows is read for: gains over doing nothing, over wrong references, over ICP alone."""
    rows = {(row["method"], row["style"]): row["metrics"] for row in results["rows"]}
    texts = []
    for (method, style), metrics in rows.items():
        gains = []
        for metric, rival, what in _MARGINS if method != GRAY_COPY else ():
            other = rows.get((rival.format(method), style))
            if other is not None and metric in metrics and metric in other:
                unit = " dB" if metric == "psnr" else ""
                gains.append(f"{find_metric(metric).label} {metrics[metric] - other[metric]:+.2f}{unit} over {what}")
        if gains:
            texts.append(f"{label(method, results)} ({style}): {', '.join(gains)}")
    return texts


def caption(results: Results, *, intervals: bool = True) -> str:
    """A sentence or two on how the numbers were made.

    Args:
        results: Where they are.
        intervals: The table shows the intervals and the paper's rows.
    """
    protocol = results["protocol"]
    benchmark, size = protocol["benchmark"], protocol["metric_size"]
    at = "the pages' own size" if size == "native" else f"{size[0]} x {size[1]}"
    text = f"Benchmark {benchmark['name']}, {benchmark['pages']} pages, scored at {at}; means over pages"
    if not intervals:
        styles = dict.fromkeys(row["style"] for row in results["rows"])
        return f"{text}; input {', '.join(styles)}."
    text += f", in brackets {protocol['intervals']['confidence']:.0%} intervals by bootstrap over chapters."
    own = {name for row in results["rows"] for name in row["metrics"]}
    notes = dict.fromkeys(column.note for name, column in columns(results).items() if name in own and column.note)
    text += "".join(f" {note}" for note in notes)
    if any(None in row["intervals"].values() for row in results["rows"]):
        text += " No interval from a single chapter."
    table = paper_table(protocol)
    if table is not None and _papers_rows(results):
        text += f" Rows marked (paper) are as printed in {table.source}, on pages that were never released."
    return text


def _papers_rows(results: Results) -> list[Row]:
    return paper_rows(results["protocol"], {row["style"] for row in results["rows"]})


def _cell(row: Row, column: Column, ours: Sequence[Row]) -> Cell:
    name, value = column.key, row.get("metrics", {}).get(column.key)
    if value is None:
        return Cell("-")
    interval = row.get("intervals", {}).get(name)
    note = f"[{', '.join(column.format(end) for end in interval)}]" if interval else ""
    rivals = [other["metrics"][name] for other in ours if other["style"] == row["style"] and name in other["metrics"]]
    best = (max if column.higher_is_better else min)(rivals, default=None)
    return Cell(column.format(value), "n" in row and len(rivals) > 1 and value == best, note, value)
