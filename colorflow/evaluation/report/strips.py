"""Picture strips of a benchmark, as figures 6 and 7: input, one column a method, references, original."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PIL import Image

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.canvas import STRETCH_LIMIT, Size
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.report.tables import label
from colorflow.evaluation.results import GRAY_COPY
from colorflow.utils.images import load_image
from colorflow.utils.strips import StripCell, mosaic


def page_cells(
    benchmark: Benchmark,
    page: BenchmarkPage,
    folders: Mapping[str, PredictionsFolder],
    scores: Mapping[str, float],
    style: str = "gray",
    named: Callable[[str], str] = label,
) -> list[StripCell]:
    """Gather the pictures of one page; the gray copy is the input and gets no column of its own.

    Args:
        benchmark: Where input, references and truth are.
        page: The page.
        folders: Predictions by row name, in column order.
        scores: PSNR of the page by row name, for the notes; a row without it gets none.
        style: Which input.
        named: Label of a row name.
    """
    truth = benchmark.target(page)
    pool = benchmark.references(page, "own")
    cells = [
        StripCell("input", f"Input ({style})", benchmark.input(page, style), _note(scores, GRAY_COPY, "gray copy ")),
    ]
    for method, folder in folders.items():
        if method == GRAY_COPY:
            continue
        path = folder.pages.get((page.chapter, page.name))
        image = as_page(load_image(path), truth.size) if path else None
        cells.append(StripCell(method, named(method), image, _note(scores, method)))
    references = StripCell("references", "References", mosaic(pool.pages, truth.size), f"{len(pool.pages)} pages")
    return [*cells, references, StripCell("truth", "Original", truth, page.id)]


def as_page(image: Image.Image, size: Size) -> Image.Image:
    """Show a result in the page's aspect, as it is scored, unless the method cropped the page."""
    aspect = size[0] / size[1]
    if abs(image.width / image.height / aspect - 1) >= STRETCH_LIMIT:
        return image
    return image.resize((max(1, round(image.height * aspect)), image.height), Image.Resampling.BICUBIC)


def _note(scores: Mapping[str, float], method: str, prefix: str = "") -> str:
    return f"{prefix}PSNR {scores[method]:.1f} dB" if method in scores else ""
