"""Tables of ready text, written as Markdown, LaTeX, HTML and to the console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from colorflow.evaluation.report.tables import escape_latex


@dataclass(frozen=True)
class Grid:
    """A table of ready text.

    Attributes:
        title: Above it.
        note: Below it.
        headings: One a column.
        rows: Cells by row.
        texts: How many columns, from the first, are text; the others are numbers and stand at the right.
    """

    title: str
    note: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int


def markdown_grid(grid: Grid) -> str:
    """The grid as Markdown."""
    rule = ["---"] * grid.texts + ["---:"] * (len(grid.headings) - grid.texts)
    rows = "\n".join(f"| {' | '.join(row)} |" for row in (grid.headings, rule, *grid.rows))
    return f"**{grid.title}**\n\n{rows}\n\n{grid.note}\n"


def latex_grid(grid: Grid) -> str:
    """The grid as a LaTeX table for booktabs."""
    head, *body = (" & ".join(map(_latex, row)) + r" \\" for row in (grid.headings, *grid.rows))
    columns = "l" * grid.texts + "r" * (len(grid.headings) - grid.texts)
    return "\n".join(
        [
            f"% {grid.title}. {grid.note}",
            f"\\begin{{tabular}}{{{columns}}}",
            *("\\toprule", head, "\\midrule", *body, "\\bottomrule"),
            "\\end{tabular}",
            "",
        ]
    )


def html_grid(grid: Grid) -> str:
    """The grid as an HTML table."""
    head = "".join(
        f'<th scope="col"{_number(grid, place)}>{escape(text)}</th>' for place, text in enumerate(grid.headings)
    )
    body = "".join(f"<tr>{_html_cells(grid, row)}</tr>" for row in grid.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def print_grid(grid: Grid, console: Console | None = None) -> None:
    """Print the grid; columns in which nothing was measured are in the files alone."""
    shown = [
        place
        for place in range(len(grid.headings))
        if place < grid.texts or any(row[place] != "-" and not row[place].startswith("- /") for row in grid.rows)
    ]
    table = Table(box=SIMPLE_HEAD, title=grid.title, title_justify="left", caption=grid.note, caption_justify="left")
    for place in shown:
        number = place >= grid.texts
        table.add_column(grid.headings[place], justify="right" if number else "left", no_wrap=number)
    for row in grid.rows:
        table.add_row(*(row[place] for place in shown))
    (console or Console()).print(table)


def _latex(text: str) -> str:
    return escape_latex(text).replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$")


def _number(grid: Grid, place: int) -> str:
    return "" if place < grid.texts else ' class="number"'


def _html_cells(grid: Grid, row: Sequence[str]) -> str:
    return "".join(f"<td{_number(grid, place)}>{escape(text)}</td>" for place, text in enumerate(row))
