"""A table of ready cells, written as Markdown, LaTeX and to the console; and rows of raw values, written as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_SIGNS = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
"""What LaTeX would read as a command or does not know."""


@dataclass(frozen=True)
class Cell:
    """A number of a table.

    Attributes:
        text: As shown; ``-`` where there is none.
        best: Shown in bold.
        note: Behind it, where there is room: its interval.
        value: The number itself.
    """

    text: str
    best: bool = False
    note: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        headings: One a column.
        rows: Cells by row.
        texts: How many columns, from the first, are text; the others are numbers and stand at the right.
        title: Above it.
        note: Below it.
        rules: Rows with a line above them, in LaTeX.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    texts: int
    title: str = ""
    note: str = ""
    rules: tuple[int, ...] = ()

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, plain text as cells too."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]

    def markdown(self) -> str:
        """The table between title and note, best in bold."""
        rule = ["---"] * self.texts + ["---:"] * (len(self.headings) - self.texts)
        rows = [[_markdown(cell) for cell in row] for row in self.cells]
        table = "\n".join(f"| {' | '.join(row)} |" for row in (list(self.headings), rule, *rows))
        return "\n\n".join(filter(None, (self.title and f"**{self.title}**", table, self.note))) + "\n"

    def latex(self) -> str:
        """The table for booktabs, best in bold; title and note as a comment."""
        head, *body = (" & ".join(map(_latex, row)) + r" \\" for row in ([*map(Cell, self.headings)], *self.cells))
        for place in reversed(self.rules):
            body.insert(place, "\\midrule")
        columns = "l" * self.texts + "r" * (len(self.headings) - self.texts)
        lines = [f"% {'. '.join(filter(None, (self.title, self.note)))}", f"\\begin{{tabular}}{{{columns}}}"]
        return "\n".join([*lines, "\\toprule", head, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", ""])

    def print(self, console: Console | None = None) -> None:
        """Show it, best in bold green; columns in which nothing was measured are in the files alone."""
        table = Table(box=SIMPLE_HEAD, title=self.title or None, title_justify="left", caption_justify="left")
        table.caption = self.note or None
        shown = [place for place in range(len(self.headings)) if place < self.texts or self._measured(place)]
        for place in shown:
            heading, texts = self.headings[place], [row[place].text for row in self.cells]
            kept = texts if place >= self.texts else [word for text in texts for word in text.split()]
            widest = 12 if place == 0 else max(map(len, (*heading.split(), *kept)))
            table.add_column(
                heading, justify="left" if place < self.texts else "right", overflow="fold", min_width=widest
            )
        for row in self.cells:
            table.add_row(*(Text(row[place].text, style="bold green" if row[place].best else "") for place in shown))
        (console or Console()).print(table)

    def _measured(self, place: int) -> bool:
        texts = [row[place].text for row in self.cells]
        return any(text != "-" and not text.startswith("- /") for text in texts)


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, the headings first."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _markdown(cell: Cell) -> str:
    text = cell.text.replace("|", "\\|")
    return f"{f'**{text}**' if cell.best else text} {cell.note}".strip()


def _latex(cell: Cell) -> str:
    text = "".join(_SIGNS.get(sign, sign) for sign in cell.text)
    return f"\\textbf{{{text}}}" if cell.best else text
