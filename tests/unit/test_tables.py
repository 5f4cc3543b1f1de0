"""The tables: Markdown, LaTeX, CSV, console."""

from __future__ import annotations

import csv
import io
import re

import pytest
from rich.console import Console
from tiny.benchmark import scored_pages, tiny_results

from colorflow.evaluation.report.paper import SHAPE, paper_rows
from colorflow.evaluation.report.tables import (
    csv_pages,
    csv_table,
    label,
    latex_table,
    margins,
    markdown_table,
    print_table,
)
from colorflow.methods import row_label


def test_markdown_and_latex_mark_the_best_of_ours() -> None:
    results = tiny_results()
    gray, ours = (row["metrics"]["psnr"] for row in results["rows"])
    best = f"{max(gray, ours):.2f}"
    assert f"| **{best}** [" in markdown_table(results)
    assert markdown_table(results).count("**") == 2 * 4
    latex = latex_table(results)
    assert f"\\textbf{{{best}}}" in latex
    assert all(rule in latex for rule in ("\\toprule", "\\midrule", "\\bottomrule"))
    assert latex.count("\\midrule") == 1
    beside = latex_table(tiny_results(SHAPE)).partition("\\midrule")[2]
    assert beside.index("ColorFlow &") < beside.index("\\midrule") < beside.index("(paper)")
    assert "gray\\_x" in latex_table(tiny_results(pages=[page | {"style": "gray_x"} for page in scored_pages()]))


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("patch_copy", "Patch copy"),
        ("colorflow_wrong_references", "ColorFlow, wrong references"),
        ("ebmc_panels", "EBMC, panels"),
        ("ebmcx_no_references", "Ebmcx no references"),
        ("wrong_references", "Wrong references"),
    ],
)
def test_labels_of_results_that_say_none(method: str, words: str) -> None:
    assert label(method) == words
    assert label(method, {"rows": [{"method": method}], "incomplete": []}) == words


def test_rows_say_what_they_are_called() -> None:
    assert label("mine", {"rows": [{"method": "mine", "label": "My Own"}]}) == "My Own"
    assert label("mine", {"rows": [], "incomplete": [{"method": "mine", "label": "My Own"}]}) == "My Own"
    assert row_label("ebmc_wrong_references", "ebmc", "EBMC") == "EBMC, wrong references"
    assert row_label("ebmcx", "ebmc", "EBMC") == "Ebmcx"


def test_csv_holds_full_precision() -> None:
    results = tiny_results()
    rows = list(csv.DictReader(io.StringIO(csv_table(results))))
    assert [float(row["psnr"]) for row in rows] == [row["metrics"]["psnr"] for row in results["rows"]]
    assert float(rows[0]["psnr_low"]) == results["rows"][0]["intervals"]["psnr"][0]
    pages = list(csv.DictReader(io.StringIO(csv_pages(results))))
    assert [float(page["ssim"]) for page in pages] == [page["ssim"] for page in results["pages"]]


def test_the_papers_rows_stand_beside_ours_on_its_benchmark_alone() -> None:
    for shape in (None, SHAPE | {"chapters": 29}, SHAPE | {"pages": [49, 50]}, SHAPE | {"references": [0]}):
        assert "(paper)" not in markdown_table(tiny_results(shape))
    table = markdown_table(tiny_results(SHAPE))
    assert re.search(r"\| ColorFlow \(paper\) \| gray \| - \| 0\.9433 \| 12\.17 \| 26\.01 \| 0\.9579 \|", table)
    assert "ScreenVAE" not in table
    assert "never released" in table
    both = paper_rows({"benchmark": {"name": "any", "shape": SHAPE}}, {"gray", "screenstyle"})
    assert len(both) == 9
    assert both[3]["metrics"] == {"clip_is": 0.7328, "fid": 98.52, "psnr": 9.12, "ssim": 0.5373, "aesthetic": 4.16}


@pytest.mark.parametrize("width", [72, 80, 160])
def test_console_table_shows_every_digit_at_any_width(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    print_table(tiny_results(), console)
    text = console.file.getvalue()
    for row in tiny_results()["rows"]:
        assert f"{row['metrics']['psnr']:.2f}" in text
        assert f"{row['metrics']['ssim']:.4f}" in text
    assert text.index("Gray") < text.index("ColorFlow")


def test_margins_are_told_below_the_table() -> None:
    rows = [("gray_copy", 18.0, 0.9), ("colorflow", 19.5, 0.8), ("colorflow_wrong_references", 19.25, 0.8)]
    rows.append(("colorflow_icp", 12.0, 0.25))
    metrics = [{"method": name, "style": "gray", "metrics": {"psnr": psnr, "ssim": ssim}} for name, psnr, ssim in rows]
    assert margins({"rows": metrics}) == [
        "ColorFlow (gray): PSNR +1.50 dB over the gray copy, PSNR +0.25 dB over references of another chapter, "
        "SSIM +0.55 over ICP alone",
        "ColorFlow, wrong references (gray): PSNR +1.25 dB over the gray copy",
        "ColorFlow, icp (gray): PSNR -6.00 dB over the gray copy",
    ]
