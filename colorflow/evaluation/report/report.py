"""Stage three: results.json and the pictures become tables, a page and a strip.

Writes ``table.md``, ``table.tex``, ``table.csv``, ``pages.csv``, ``differences.csv``, ``index.html`` with
``pictures/``, ``strip.png``, and ``sources.json`` (where the pictures lie, for the user study) into the folder of
the results; ``paper.md`` and ``paper.tex`` for results that stand beside a printed table. Computes no metric.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.report.beside_paper import beside_grids
from colorflow.evaluation.report.comparisons import csv_differences, paired_differences
from colorflow.evaluation.report.grid import Grid
from colorflow.evaluation.report.html import Figure, Strip, html_page
from colorflow.evaluation.report.strips import even_pages, page_cells, shown_pages
from colorflow.evaluation.report.tables import csv_pages, csv_table, label, latex_table, markdown_table
from colorflow.evaluation.results import Results
from colorflow.utils.files import atomic_path, write_json_atomic, write_text_atomic
from colorflow.utils.images import save_png
from colorflow.utils.strips import StripCell, contain, draw_strip, spread

Folders = Mapping[tuple[str, str], PredictionsFolder]

SOURCES = "sources.json"

STRIP_ROWS = 3
PICTURE_SIZE = (1000, 1000)
"""Box that the pictures of the page are scaled into; their originals stay where they are."""


def write_report(results: Results, benchmark: Benchmark, folders: Folders, output: Path) -> None:
    """Write every file of the report.

    Args:
        results: As ``build_results`` gives them.
        benchmark: Where input, references and truth are.
        folders: Predictions by (row name, style), in column order.
        output: Folder to write into.
    """
    differences = paired_differences(results)
    write_text_atomic(markdown_table(results), output / "table.md")
    write_text_atomic(latex_table(results), output / "table.tex")
    write_text_atomic(csv_table(results), output / "table.csv")
    write_text_atomic(csv_pages(results), output / "pages.csv")
    write_text_atomic(csv_differences(differences), output / "differences.csv")
    grids = beside_grids(results, differences)
    for name, write in (("paper.md", Grid.markdown), ("paper.tex", Grid.latex)):
        (output / name).unlink(missing_ok=True)
        if grids:
            write_text_atomic("\n".join(map(write, grids)), output / name)
    write_json_atomic(_sources(benchmark, folders, output), output / SOURCES)
    styles = list(dict.fromkeys(row["style"] for row in results["rows"]))
    first = [_cells(results, benchmark, folders, page, styles[0]) for page in spread(even_pages(benchmark), STRIP_ROWS)]
    save_png(draw_strip(first), output / "strip.png")
    shutil.rmtree(output / "pictures", ignore_errors=True)
    strips = [strip for style in styles for strip in _strips(results, benchmark, folders, style, output)]
    write_text_atomic(html_page(results, strips, differences, grids), output / "index.html")


def _sources(benchmark: Benchmark, folders: Folders, output: Path) -> dict[str, Any]:
    """Folders relative to the results, so that both can be moved together."""
    return {
        "benchmark": Path(os.path.relpath(benchmark.root, output)).as_posix(),
        "predictions": {
            f"{method}/{style}": Path(os.path.relpath(folder.folder, output)).as_posix()
            for (method, style), folder in folders.items()
        },
    }


def _cells(
    results: Results, benchmark: Benchmark, folders: Folders, page: BenchmarkPage, style: str
) -> list[StripCell]:
    of_style = {method: folder for (method, other), folder in folders.items() if other == style}
    rows = [
        row
        for row in results["pages"]
        if (row["style"], row["chapter"], row["page"]) == (style, page.chapter, page.name)
    ]
    scores = {row["method"]: row["psnr"] for row in rows if "psnr" in row}
    return page_cells(benchmark, page, of_style, scores, style, partial(label, results=results))


def _strips(results: Results, benchmark: Benchmark, folders: Folders, style: str, output: Path) -> Iterator[Strip]:
    """Write the pictures page by page: all of them at once would not fit into memory."""
    for page, tags in shown_pages(results, benchmark, style):
        cells = _cells(results, benchmark, folders, page, style)
        yield Strip(page.chapter, page.name, style, tags, _figures(page.id, style, cells, output))


def _figures(page: str, style: str, cells: Sequence[StripCell], output: Path) -> tuple[Figure, ...]:
    """Write the pictures of one page beside the report and return what the page shows."""
    figures = []
    for cell in cells:
        if cell.image is None:
            figures.append(Figure(cell.key, cell.title, None, (0, 0), cell.note))
            continue
        large = cell.image.width > PICTURE_SIZE[0] or cell.image.height > PICTURE_SIZE[1]
        small = contain(cell.image, PICTURE_SIZE) if large else cell.image
        link = f"pictures/{style}/{page}/{cell.key}.webp"
        with atomic_path(output / link) as temporary:
            small.save(temporary, format="WEBP", quality=90)
        figures.append(Figure(cell.key, cell.title, link, small.size, cell.note))
    return tuple(figures)
