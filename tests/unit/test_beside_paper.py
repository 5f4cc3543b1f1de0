"""The paper's tables with ours beside them: pairing, directions, and every way they are written."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from tiny.benchmark import find_row, page_scores

from colorflow.evaluation.report.beside_paper import Change, beside_grids, beside_paper, changes
from colorflow.evaluation.report.grid import Cell, Grid
from colorflow.evaluation.report.paper import FULL_MODEL, PAPER_METRICS, TABLES, paper_table
from colorflow.evaluation.results import Bootstrap, build_results
from colorflow.evaluation.run import EvaluationError, ReportSettings

GAINS = {"rank_half": 1.0, "colorflow": 0.0, "rank_double": -2.0, "gray_copy": -5.0}
"""dB over the full model; chapters differ by much more."""


def results(table: str | None, style: str = "gray", gains: dict[str, float] | None = None) -> dict[str, Any]:
    """Rows that differ by the same amount on every page, but for the wobble of one."""
    pages = [
        page_scores(method, chapter, page, 20.0 + gain + 4 * number + 0.1 * page * gain, style)
        for method, gain in (gains or GAINS).items()
        for number, chapter in enumerate("abc")
        for page in range(3)
    ]
    benchmark = {"name": "tiny", "pages": 9, "shape": None}
    protocol = {"benchmark": benchmark, "metric_size": "native", "paper_table": table}
    bootstrap = Bootstrap(samples=200)
    return build_results(pages, protocol | {"intervals": bootstrap.describe()}, bootstrap)


def test_the_printed_tables_are_whole() -> None:
    assert [table.number for table in TABLES.values()] == [1, 2, 3, 4, 5]
    assert [len(table.rows) for table in TABLES.values()] == [9, 5, 3, 4, 3]
    full = {tuple(row.metrics.values()) for table in TABLES.values() for row in table.rows if row.method == FULL_MODEL}
    assert full == {(0.9419, 13.37, 25.88, 0.9541, 4.924), (0.9433, 12.17, 26.01, 0.9579, 5.011)}
    for table in TABLES.values():
        keys = [(row.method, row.style) for row in table.rows]
        assert len(set(keys)) == len(keys)
        for row in table.rows:
            assert tuple(row.metrics) == PAPER_METRICS
            assert len(row.settings) == len(table.headings)
            assert (FULL_MODEL, row.style) in keys


def test_rows_are_paired_by_name_whatever_the_input() -> None:
    pairs = beside_paper(results("table4"))
    assert [pair.paper.method for pair in pairs] == ["rank_half", "colorflow", "rank_double", "rank_triple"]
    assert {pair.style for pair in pairs} == {"gray"}  # the paper's are screenstyle
    assert [bool(pair.ours) for pair in pairs] == [True, True, True, False]
    both = beside_paper(results("table1", "screenstyle"))
    assert [(pair.paper.method, pair.style) for pair in both if pair.ours] == [("colorflow", "screenstyle")]
    assert beside_paper(results(None)) == []
    assert paper_table(results(None)["protocol"]) is None


def test_changes_are_paired_and_judged_by_their_intervals() -> None:
    found = {(item.row.method, item.metric): item for item in changes(results("table4"))}
    assert {name for _, name in found} == {"psnr", "ssim"}
    half, double = found["rank_half", "psnr"], found["rank_double", "psnr"]
    assert half.ours == pytest.approx(1.1)
    assert half.paper == pytest.approx(25.46 - 25.88)
    assert half.direction == "other"
    assert double.ours == pytest.approx(-2.2)
    assert double.direction == "same"
    assert double.interval is not None
    assert -2.3 < double.interval[0] <= double.interval[1] < -2.1  # of the difference, not of chapters


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.1, 0.9), "same"),
        ((-0.9, -0.1), "other"),
        ((-0.1, 0.9), "noise"),
        ((0.0, 0.9), "noise"),
        (None, "-"),
    ],
)
def test_only_an_interval_without_zero_is_a_direction(interval: tuple[float, float] | None, expected: str) -> None:
    ours = 0.5 if interval is None or interval[1] > 0 else -0.5
    assert Change(TABLES["table3"].rows[2], "gray", "psnr", ours, interval, 0.14).direction == expected


def test_a_table_without_our_full_model_has_no_changes() -> None:
    assert changes(results("table4", gains={"rank_half": 1.0, "gray_copy": 0.0})) == []
    assert changes(results("table5", gains={"gray_copy": 0.0})) == []


def test_grids_say_ours_and_the_papers() -> None:
    measured = results("table4")
    find_row(measured, "rank_double")["label"] = "Double rank"  # as the training that it stands on says
    table, moved = beside_grids(measured)
    assert table.title.startswith("Table 4")
    assert table.headings == ("rank", "CLIP-IS ↑", "FID ↓", "PSNR ↑", "SSIM ↑", "AS ↑")
    row = next(row for row in table.rows if row[0] == "32 (half)")
    assert "25.10 / 25.46" in row
    assert "- / 13.46" in row  # FID was not measured
    absent = next(row for row in table.rows if row[0] == "192 (triple)")
    assert absent[1:] == ("- / 0.9370", "- / 14.46", "- / 24.59", "- / 0.9440", "- / 4.914")
    assert ("Rank double", "PSNR", "same") in {row[:3] for row in moved.rows}
    assert beside_grids(results("table1"))[0].headings[:3] == ("method", "references", "input")
    assert beside_grids(results(None)) == []


def test_grids_are_written_in_every_form() -> None:
    row = ("50% <b>", Cell("1.0 / 2.0", best=True, note="[0, 3]"), "- / 3.0")
    grid = Grid(("name_x", "PSNR ↑", "FID ↓"), (row,), 1, "A & B", "a note")
    markdown = grid.markdown()
    assert (
        "| name_x | PSNR ↑ | FID ↓ |\n| --- | ---: | ---: |\n| 50% <b> | **1.0 / 2.0** [0, 3] | - / 3.0 |" in markdown
    )
    assert markdown.startswith("**A & B**\n\n|")
    assert markdown.endswith("|\n\na note\n")
    latex = grid.latex()
    assert "\\begin{tabular}{lrr}\n\\toprule\nname\\_x & PSNR $\\uparrow$ & FID $\\downarrow$ \\\\\n\\midrule" in latex
    assert "50\\% <b> & \\textbf{1.0 / 2.0} & - / 3.0 \\\\\n\\bottomrule" in latex
    console = Console(file=io.StringIO(), width=100)
    grid.print(console)
    assert "1.0 / 2.0" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "FID" not in console.file.getvalue()  # type: ignore[attr-defined]
    falling = Grid(("row", "ours", "paper"), (("one", "-1.40 [-1.5, -1.3]", "-0.42"),), 1)
    falling.print(console)
    assert "-1.40" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "-0.42" in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"report\.table: expected one of table1, .*, got 'table9'"):
        ReportSettings(table="table9")
