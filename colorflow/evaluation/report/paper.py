"""The paper's own numbers, to stand beside ours (arXiv 2412.11815 v2, tables 1 to 6).

Only on the paper's benchmark would they be comparable; it was never released, so they are marked as printed, with
no metric settings known. Tables 2 to 5 are ablations on screenstyle pages: their directions can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PAPER = "ColorFlow, arXiv 2412.11815 v2"

SHAPE = {"chapters": 30, "pages": [50], "references": [40]}
"""Of the paper's benchmark (section 4.1), in the form of ``Benchmark.shape``."""

PAPER_METRICS = ("clip_is", "fid", "psnr", "ssim", "aesthetic")
"""The columns of tables 1 to 5."""

FULL_MODEL = "colorflow"
"""The row of every table that the others are to be compared with."""


@dataclass(frozen=True)
class PaperRow:
    """A printed row.

    Attributes:
        method: What the harness calls the row.
        settings: What tells it from the others, one for each heading of its table.
        metrics: Printed values by key.
        style: Input.
    """

    method: str
    settings: tuple[str, ...]
    metrics: Mapping[str, float]
    style: str


@dataclass(frozen=True)
class PaperTable:
    """A printed table.

    Attributes:
        number: In the paper.
        title: What it compares.
        headings: Of the settings of its rows.
        rows: In printed order.
    """

    number: int
    title: str
    headings: tuple[str, ...]
    rows: tuple[PaperRow, ...]

    @property
    def source(self) -> str:
        """Where it is printed."""
        return f"{_PAPER}, table {self.number}"


def _row(method: str, settings: tuple[str, ...], values: tuple[float, ...], style: str = "screenstyle") -> PaperRow:
    return PaperRow(method, settings, dict(zip(PAPER_METRICS, values, strict=True)), style)


_FULL = (0.9419, 13.37, 25.88, 0.9541, 4.924)

TABLES = {
    "table1": PaperTable(
        1,
        "Systems",
        ("method", "references"),
        (
            _row("mcv2", ("MC-v2", "no"), (0.8632, 48.37, 13.50, 0.6987, 4.753)),
            _row("acdo", ("ACDO", "no"), (0.8687, 39.38, 15.75, 0.7672, 4.540)),
            _row("ebmc", ("EBMC", "yes"), (0.8542, 38.77, 15.21, 0.7592, 4.605)),
            _row("screenvae", ("ScreenVAE", "yes"), (0.7328, 98.52, 9.12, 0.5373, 4.160)),
            _row("colorflow", ("ColorFlow", "yes"), _FULL),
            _row("mcv2", ("MC-v2", "no"), (0.8833, 33.14, 17.20, 0.8396, 4.845), "gray"),
            _row("acdo", ("ACDO", "no"), (0.8970, 28.12, 21.77, 0.9516, 4.686), "gray"),
            _row("ebmc", ("EBMC", "yes"), (0.8859, 19.48, 20.80, 0.9474, 4.702), "gray"),
            _row("colorflow", ("ColorFlow", "yes"), (0.9433, 12.17, 26.01, 0.9579, 5.011), "gray"),
        ),
    ),
    "table2": PaperTable(
        2,
        "Components",
        ("RAP in training", "RAP at inference", "GSRP"),
        (
            _row("no_rap_in_training", ("no", "yes", "yes"), (0.9326, 15.98, 24.48, 0.9448, 4.921)),
            _row("no_rap", ("no", "no", "yes"), (0.9233, 18.32, 24.16, 0.9410, 4.907)),
            _row("no_rap_at_inference", ("yes", "no", "yes"), (0.9266, 17.07, 24.64, 0.9464, 4.914)),
            _row("colorflow_icp", ("yes", "yes", "no"), (0.9322, 17.85, 20.12, 0.8077, 4.898)),
            _row("colorflow", ("yes", "yes", "yes"), _FULL),
        ),
    ),
    "table3": PaperTable(
        3,
        "Size of the canvas at inference",
        ("canvas",),
        (
            _row("canvas_half", ("512 x 800 (half)",), (0.9372, 14.91, 23.51, 0.9414, 4.868)),
            _row("colorflow", ("1024 x 1600",), _FULL),
            _row("canvas_larger", ("1280 x 2000 (5/4)",), (0.9398, 13.42, 26.02, 0.9580, 4.929)),
        ),
    ),
    "table4": PaperTable(
        4,
        "Rank of LoRA",
        ("rank",),
        (
            _row("rank_half", ("32 (half)",), (0.940, 13.46, 25.46, 0.9521, 4.920)),
            _row("colorflow", ("64",), _FULL),
            _row("rank_double", ("128 (double)",), (0.9376, 14.31, 24.79, 0.9461, 4.930)),
            _row("rank_triple", ("192 (triple)",), (0.9370, 14.46, 24.59, 0.9440, 4.914)),
        ),
    ),
    "table5": PaperTable(
        5,
        "Timestep shift",
        ("mu",),
        (
            _row("mu_0", ("0",), (0.9351, 14.18, 25.12, 0.9501, 4.927)),
            _row("colorflow", ("1.5",), _FULL),
            _row("mu_3", ("3",), (0.9395, 13.51, 25.42, 0.9509, 4.917)),
        ),
    ),
}
"""Sizes and ranks are the paper's; at another size of the model the share in brackets holds."""

SYSTEMS = {row.method: row.settings[0] for row in TABLES["table1"].rows}
"""What the paper calls the systems."""


def paper_table(protocol: Mapping[str, Any]) -> PaperTable | None:
    """The printed table that results stand beside: the one they were made for, or table 1 for its kind of benchmark.

    Args:
        protocol: Of the results.
    """
    if protocol.get("paper_table") is not None:
        return TABLES[protocol["paper_table"]]
    return TABLES["table1"] if protocol["benchmark"].get("shape") == SHAPE else None


def paper_rows(protocol: Mapping[str, Any], styles: set[str]) -> list[dict[str, Any]]:
    """Return the printed rows in the results' form (no n, no intervals).

    Args:
        protocol: Of the results.
        styles: Styles that the results have.
    """
    table = paper_table(protocol)
    rows = () if table is None else table.rows
    return [
        {"method": row.method, "style": row.style, "metrics": dict(row.metrics)} for row in rows if row.style in styles
    ]


USER_STUDY_SOURCE = f"{_PAPER}, table 6"

USER_STUDY: dict[str, dict[str, float]] = {
    "aesthetic": {"ColorFlow": 4.577, "EBMC": 3.141, "MC-v2": 2.891, "ACDO": 2.844, "ScreenVAE": 1.547},
    "similarity": {"ColorFlow": 4.673, "EBMC": 3.316, "MC-v2": 2.984, "ACDO": 2.642, "ScreenVAE": 1.385},
    "consistency": {"ColorFlow": 4.538, "EBMC": 3.399, "MC-v2": 3.215, "ACDO": 2.540, "ScreenVAE": 1.308},
}
"""Table 6: mean of 5 to 1 points for rank 1 to 5, over 4,000 rankings."""
