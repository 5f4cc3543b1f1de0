"""The results as tables: one reading of the rows, written as Markdown, LaTeX, CSV and to the console."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from colorflow.evaluation.report.paper import SYSTEMS, paper_rows, paper_table
from colorflow.evaluation.results import GRAY_COPY
from colorflow.methods import row_label

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """How a metric is shown.

    Attributes:
        label: Heading.
        decimals: Digits after the point.
        higher_is_better: Direction.
    """

    label: str
    decimals: int
    higher_is_better: bool

    @property
    def arrow(self) -> str:
        """Up where more is better."""
        return "↑" if self.higher_is_better else "↓"

    def format(self, value: float) -> str:
        """The number with the metric's digits."""
        return "inf" if math.isinf(value) else f"{value:.{self.decimals}f}"


COLUMNS = {
    "clip_is": Column("CLIP-IS", 4, True),
    "fid": Column("FID", 2, False),
    "kid": Column("KID", 4, False),
    "psnr": Column("PSNR", 2, True),
    "ssim": Column("SSIM", 4, True),
    "aesthetic": Column("AS", 3, True),
    "chroma_psnr": Column("chroma PSNR", 2, True),
    "ciede2000": Column("CIEDE2000", 2, False),
    "lpips": Column("LPIPS", 4, False),
    "color_identity": Column("colour identity", 3, True),
}
"""Every metric key in table order, the paper's five first where they are there."""

_MARGINS = (
    ("psnr", GRAY_COPY, "the gray copy"),
    ("psnr", "{}_wrong_references", "references of another chapter"),
    ("ssim", "{}_icp", "ICP alone"),
)
"""Metric, row it is compared with, and what that row is."""


@dataclass(frozen=True)
class Cell:
    """One number of a table; ``value`` is None where there is none."""

    value: float | None
    text: str
    interval: str
    best: bool


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


def columns(results: Results) -> list[str]:
    """Metric keys of the table, in order: all that a row, ours or the paper's, has."""
    there = {name for row in (*results["rows"], *_papers_rows(results)) for name in row["metrics"]}
    return [name for name in COLUMNS if name in there]


def lines(results: Results) -> list[Line]:
    """The rows to print: ours in order, those without numbers, then the paper's where the benchmark has its shape."""
    return [
        *(_line(results, row, label(row["method"], results)) for row in (*results["rows"], *results["incomplete"])),
        *(_line(results, row, f"{label(row['method'], results)} (paper)", paper=True) for row in _papers_rows(results)),
    ]


def _line(results: Results, row: Mapping[str, Any], title: str, *, paper: bool = False) -> Line:
    cells = tuple(_cell(row, name, results["rows"]) for name in columns(results))
    return Line(row["method"], title, row["style"], row.get("n"), cells, paper)


def gaps(results: Results) -> list[str]:
    """Why rows have no numbers, a text a method and reason."""
    styles: dict[tuple[str, str], list[str]] = {}
    for row in results["incomplete"]:
        styles.setdefault((row["method"], row["reason"]), []).append(row["style"])
    return [f"{label(name, results)} ({', '.join(of)}): {reason}" for (name, reason), of in styles.items()]


def markdown_table(results: Results) -> str:
    """A Markdown table, best of our rows in bold, 95 % intervals in brackets."""
    names = columns(results)
    head = ["method", "input", "pages", *(f"{COLUMNS[name].label} {COLUMNS[name].arrow}" for name in names)]
    rows = [head, ["---", "---", "---:", *("---:" for _ in names)]]
    for line in lines(results):
        cells = [f"**{cell.text}**" if cell.best else cell.text for cell in line.cells]
        cells = [f"{text} {cell.interval}".strip() for text, cell in zip(cells, line.cells, strict=True)]
        rows.append([line.label.replace("|", "\\|"), line.style, str(line.n or "-"), *cells])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join([table, caption(results), *_listed(gaps(results))]) + "\n"


def _listed(texts: Sequence[str]) -> list[str]:
    """A Markdown list, or nothing."""
    items = "\n".join("- " + text.replace("\n", "\n  ") for text in texts)
    return [f"Without numbers:\n\n{items}"] if texts else []


def latex_table(results: Results) -> str:
    """A LaTeX table for booktabs, best of our rows in bold."""
    names = columns(results)
    arrows = {"↑": "$\\uparrow$", "↓": "$\\downarrow$"}
    head = ["Method", "Input", *(f"{COLUMNS[name].label} {arrows[COLUMNS[name].arrow]}" for name in names)]
    body: list[str] = []
    before = None
    for line in lines(results):
        if before is not None and line.paper and not before.paper:
            body.append("\\midrule")  # the paper's rows stand apart
        cells = [f"\\textbf{{{cell.text}}}" if cell.best else cell.text for cell in line.cells]
        body.append(" & ".join([escape_latex(line.label), escape_latex(line.style), *cells]) + r" \\")
        before = line
    return "\n".join(
        [
            f"% {caption(results)}",
            f"\\begin{{tabular}}{{ll{'r' * len(names)}}}",
            "\\toprule",
            " & ".join(head) + r" \\",
            "\\midrule",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


def csv_table(results: Results) -> str:
    """Our rows as CSV, full precision, with the ends of the intervals."""
    names = [name for name in columns(results) if any(name in row["metrics"] for row in results["rows"])]
    head = ["method", "style", "n", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]
    rows = []
    for row in results["rows"]:
        values: list[Any] = []
        for name in names:
            values += [row["metrics"].get(name, ""), *(row["intervals"].get(name) or ("", ""))]
        rows.append([row["method"], row["style"], row["n"], *values])
    return _csv([head, *rows])


def csv_pages(results: Results) -> str:
    """The per-page rows as CSV."""
    head = list(results["pages"][0]) if results["pages"] else []
    return _csv([head, *([page[name] for name in head] for page in results["pages"])])


def print_table(results: Results, console: Console | None = None) -> None:
    """Print our rows to the console, best in bold green; intervals and the paper's rows are in the files."""
    ours = [line for line in lines(results) if not line.paper]
    several = len({line.style for line in ours}) > 1
    table = Table(box=SIMPLE_HEAD, caption=caption(results, intervals=False), caption_justify="left")
    table.add_column("method", overflow="fold", min_width=12)
    if several:
        table.add_column("input", no_wrap=True)
    table.add_column("pages", justify="right", no_wrap=True)
    shown = [i for i in range(len(columns(results))) if any(line.cells[i].value is not None for line in ours)]
    for i in shown:
        column = COLUMNS[columns(results)[i]]
        widest = max(len(text) for text in (*column.label.split(), *(line.cells[i].text for line in ours)))
        table.add_column(f"{column.label} {column.arrow}", justify="right", min_width=widest)
    for line in ours:
        cells = [Text(line.cells[i].text, style="bold green" if line.cells[i].best else "") for i in shown]
        table.add_row(line.label, *([line.style] if several else []), str(line.n or "-"), *cells)
    console = console or Console()
    console.print(table)
    for text in (*margins(results), *gaps(results)):
        console.print(text, highlight=False, markup=False)


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
                gains.append(f"{COLUMNS[metric].label} {metrics[metric] - other[metric]:+.2f}{unit} over {what}")
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
    if random := protocol.get("random_weights"):
        named = ", ".join(column.label for name, column in COLUMNS.items() if name in random)
        text = f"RANDOM WEIGHTS, a test: {named} mean nothing. {text}"
    if not intervals:
        styles = dict.fromkeys(row["style"] for row in results["rows"])
        return f"{text}; input {', '.join(styles)}."
    text += f", in brackets {protocol['intervals']['confidence']:.0%} intervals by bootstrap over chapters."
    if any("fid" in row["metrics"] or "kid" in row["metrics"] for row in results["rows"]):
        text += " FID and KID are of all pages together and have none; compare them at equal numbers of pages only."
    if any("color_identity" in row["metrics"] for row in results["rows"]):
        text += " Colour identity is a mean over chapters; a gray copy has 0."
    if any(None in row["intervals"].values() for row in results["rows"]):
        text += " No interval from a single chapter."
    table = paper_table(protocol)
    if table is not None and _papers_rows(results):
        text += f" Rows marked (paper) are as printed in {table.source}, on pages that were never released."
    return text


def _papers_rows(results: Results) -> list[dict[str, Any]]:
    return paper_rows(results["protocol"], {row["style"] for row in results["rows"]})


def _cell(row: Mapping[str, Any], name: str, ours: Sequence[Mapping[str, Any]]) -> Cell:
    column, value = COLUMNS[name], row.get("metrics", {}).get(name)
    if value is None:
        return Cell(None, "-", "", False)
    interval = row.get("intervals", {}).get(name)
    text = f"[{', '.join(column.format(end) for end in interval)}]" if interval else ""
    rivals = [other["metrics"][name] for other in ours if other["style"] == row["style"] and name in other["metrics"]]
    best = (max if column.higher_is_better else min)(rivals, default=None)
    return Cell(value, column.format(value), text, "n" in row and len(rivals) > 1 and value == best)


def escape_latex(text: str) -> str:
    """Text with the signs that LaTeX would read as commands."""
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
