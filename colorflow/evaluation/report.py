"""Stage three: results.json and the pictures become tables, a page and a strip.

Writes ``table.md``, ``table.tex``, ``table.csv``, ``pages.csv``, ``index.html`` with ``pictures/``, and
``strip.png`` into the folder of the results. Computes no metric.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.benchmark import Benchmark
from colorflow.evaluation.html import Figure, Strip, html_page
from colorflow.evaluation.strips import page_cells
from colorflow.evaluation.tables import csv_pages, csv_table, latex_table, markdown_table
from colorflow.utils.files import atomic_path, write_text_atomic
from colorflow.utils.images import save_png
from colorflow.utils.strips import StripCell, contain, draw_strip, spread

Folders = Mapping[tuple[str, str], PredictionsFolder]

STRIP_ROWS = 3
PAGE_STRIPS = 8
PICTURE_SIZE = (800, 640)
"""Box that the pictures of the page are scaled into; their originals stay where they are."""


def write_report(results: Mapping[str, Any], benchmark: Benchmark, folders: Folders, output: Path) -> None:
    """Write every file of the report.

    Args:
        results: As ``build_results`` gives them.
        benchmark: Where input, references and truth are.
        folders: Predictions by (row name, style), in column order.
        output: Folder to write into.
    """
    write_text_atomic(markdown_table(results), output / "table.md")
    write_text_atomic(latex_table(results), output / "table.tex")
    write_text_atomic(csv_table(results), output / "table.csv")
    write_text_atomic(csv_pages(results), output / "pages.csv")
    strips = strip_cells(results, benchmark, folders, PAGE_STRIPS)
    of_first_style = [cells for _, style, cells in strips if style == strips[0][1]]
    save_png(draw_strip(spread(of_first_style, STRIP_ROWS)), output / "strip.png")
    shutil.rmtree(output / "pictures", ignore_errors=True)
    figures = [_figures(page, style, cells, output) for page, style, cells in strips]
    write_text_atomic(html_page(results, figures), output / "index.html")


def strip_cells(
    results: Mapping[str, Any], benchmark: Benchmark, folders: Folders, limit: int
) -> list[tuple[str, str, list[StripCell]]]:
    """Gather (page id, style, cells) of up to ``limit`` pages, each style in turn."""
    strips = []
    for style in dict.fromkeys(row["style"] for row in results["rows"]):
        of_style = {method: folder for (method, other), folder in folders.items() if other == style}
        pages = [page for page in results["pages"] if page["style"] == style]
        scores = {(page["method"], page["chapter"], page["page"]): page["psnr"] for page in pages}
        for page in spread(benchmark.pages, limit):
            strips.append((page.id, style, page_cells(benchmark, page, of_style, scores, style)))
    return strips


def _figures(page: str, style: str, cells: Sequence[StripCell], output: Path) -> Strip:
    """Write the pictures of one page beside the report and return what the page shows."""
    figures = []
    for cell in cells:
        if cell.image is None:
            figures.append(Figure(cell.title, None, (0, 0), cell.note))
            continue
        small = cell.image if _fits(cell.image.size) else contain(cell.image, PICTURE_SIZE)
        link = f"pictures/{style}/{page}/{cell.key}.webp"
        with atomic_path(output / link) as temporary:
            small.save(temporary, format="WEBP", quality=92)
        figures.append(Figure(cell.title, link, small.size, cell.note))
    return Strip(page, style, tuple(figures))


def _fits(size: tuple[int, int]) -> bool:
    return size[0] <= PICTURE_SIZE[0] and size[1] <= PICTURE_SIZE[1]
