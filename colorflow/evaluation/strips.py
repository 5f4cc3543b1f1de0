"""Picture strips of a benchmark: input, references, one column a method, truth."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.canvas import STRETCH_LIMIT, Size
from colorflow.evaluation.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.results import GRAY_COPY
from colorflow.evaluation.tables import label
from colorflow.utils.images import load_image
from colorflow.utils.strips import StripCell, mosaic


def page_cells(
    benchmark: Benchmark,
    page: BenchmarkPage,
    folders: Mapping[str, PredictionsFolder],
    scores: Mapping[tuple[str, str, str], float],
    style: str = "gray",
) -> list[StripCell]:
    """Gather the pictures of one page; the gray copy is the input and gets no column of its own.

    Args:
        benchmark: Where input, references and truth are.
        page: The page.
        folders: Predictions by row name, in column order.
        scores: PSNR by (row name, chapter, page), for the notes.
        style: Which input.
    """
    truth = benchmark.target(page)
    pool = benchmark.references(page, "own")
    cells = [
        StripCell(
            "input", f"Input ({style})", benchmark.input(page, style), _note(scores, GRAY_COPY, page, "gray copy ")
        ),
        StripCell("references", "References", mosaic(pool.pages, truth.size), f"{len(pool.pages)} pages"),
    ]
    for method, folder in folders.items():
        if method == GRAY_COPY:
            continue
        path = folder.pages.get((page.chapter, page.name))
        image = as_page(load_image(path), truth.size) if path else None
        cells.append(StripCell(method, label(method), image, _note(scores, method, page)))
    return [*cells, StripCell("truth", "Original", truth, page.id)]


def as_page(image: Image.Image, size: Size) -> Image.Image:
    """Show a result in the page's aspect, as it is scored, unless the method cropped the page."""
    aspect = size[0] / size[1]
    if abs(image.width / image.height / aspect - 1) >= STRETCH_LIMIT:
        return image
    return image.resize((max(1, round(image.height * aspect)), image.height), Image.Resampling.BICUBIC)


def _note(scores: Mapping[tuple[str, str, str], float], method: str, page: BenchmarkPage, prefix: str = "") -> str:
    value = scores.get((method, page.chapter, page.name))
    return f"{prefix}PSNR {value:.1f} dB" if value is not None else ""
