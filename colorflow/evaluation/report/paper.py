"""The paper's own numbers, to stand beside ours (arXiv 2412.11815 v2, tables 1 to 6; ``assets/report/paper.yaml``).

Only on the paper's benchmark would they be comparable; it was never released, so they are marked as printed, with
no metric settings known. Tables 2 to 5 are ablations on screenstyle pages: their directions can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

_PAPER = "ColorFlow, arXiv 2412.11815 v2"
_PRINTED = yaml.safe_load(files("colorflow").joinpath("assets/report/paper.yaml").read_text(encoding="utf-8"))

SHAPE: dict[str, Any] = _PRINTED["shape"]
"""Of the paper's benchmark (section 4.1), in the form of ``Benchmark.shape``."""

PAPER_METRICS: tuple[str, ...] = tuple(_PRINTED["metrics"])
"""The columns of tables 1 to 5."""

FULL_MODEL = "colorflow"
"""The row of every table that the others are to be compared with."""


@dataclass(frozen=True)
class PaperRow:
    """A printed row: what the harness calls it, its input, what tells it from the others, and its values by metric."""

    method: str
    style: str
    settings: tuple[str, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class PaperTable:
    """A printed table; ``headings`` are of the settings of its rows, which come in printed order."""

    number: int
    title: str
    headings: tuple[str, ...]
    rows: tuple[PaperRow, ...]

    @property
    def source(self) -> str:
        """Where it is printed."""
        return f"{_PAPER}, table {self.number}"


def _row(method: str, style: str, settings: list[str], values: list[float]) -> PaperRow:
    return PaperRow(method, style, tuple(settings), dict(zip(PAPER_METRICS, values, strict=True)))


TABLES = {
    name: PaperTable(number, table["title"], tuple(table["headings"]), tuple(_row(**row) for row in table["rows"]))
    for number, (name, table) in enumerate(_PRINTED["tables"].items(), 1)
}
"""By ``table1`` to ``table5``."""

SYSTEMS = {row.method: row.settings[0] for row in TABLES["table1"].rows}
"""What the paper calls the systems."""

USER_STUDY_SOURCE = f"{_PAPER}, table 6"

USER_STUDY: dict[str, dict[str, float]] = _PRINTED["user_study"]
"""Table 6: mean points by criterion and system."""


def paper_table(protocol: Mapping[str, Any]) -> PaperTable | None:
    """The printed table that results of this protocol stand beside: the one asked for, or table 1 for its benchmark."""
    if protocol.get("paper_table") is not None:
        return TABLES[protocol["paper_table"]]
    return TABLES["table1"] if protocol["benchmark"].get("shape") == SHAPE else None


def paper_rows(protocol: Mapping[str, Any], styles: set[str]) -> list[dict[str, Any]]:
    """Return the printed rows of these styles in the results' form (no n, no intervals)."""
    table = paper_table(protocol)
    rows = () if table is None else table.rows
    return [
        {"method": row.method, "style": row.style, "metrics": dict(row.metrics)} for row in rows if row.style in styles
    ]
