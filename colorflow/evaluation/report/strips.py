"""The pages that a report shows, and their strips as figures 6 and 7: input, methods, references, original."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from PIL import Image

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.canvas import STRETCH_LIMIT, Size
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.report.tables import columns, label
from colorflow.evaluation.results import GRAY_COPY, Results, Row, page_metric_names
from colorflow.utils.images import load_image
from colorflow.utils.strips import StripCell, mosaic, spread


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


EVEN_PAGES = 8
"""Pages taken evenly, at least; every chapter has one, up to ``EVEN_LIMIT``."""

EVEN_LIMIT = 40

EXTREME_PAGES = 4
"""Best and worst pages of each method, by each of ``ranking_metrics``."""


def shown_pages(results: Results, benchmark: Benchmark, style: str) -> list[tuple[BenchmarkPage, tuple[str, ...]]]:
    """Choose pages of one style.

    Args:
        results: As ``build_results`` gives them.
        benchmark: The pages.
        style: Whose scores decide.

    Returns:
        (page, tags) in benchmark order. Tags: ``even`` (not picked for a result), ``best:<metric>:<method>`` and
        ``worst:<metric>:<method>``.
    """
    tags: dict[BenchmarkPage, list[str]] = {page: ["even"] for page in even_pages(benchmark)}
    shown = columns(results)
    ranking = {name: shown[name].higher_is_better for name in ranking_metrics(results)}
    by_id = {(page.chapter, page.name): page for page in benchmark.pages}
    for method in dict.fromkeys(row["method"] for row in results["rows"] if row["style"] == style):
        rows = [row for row in results["pages"] if (row["method"], row["style"]) == (method, style)]
        for tag, row in _extremes(rows, ranking) if method != GRAY_COPY else ():
            page = by_id[row["chapter"], row["page"]]
            tags.setdefault(page, []).append(f"{tag}:{method}")
    return [(page, tuple(tags[page])) for page in sorted(tags, key=lambda page: page.index)]


def even_pages(benchmark: Benchmark) -> list[BenchmarkPage]:
    """Take pages from every chapter alike, the first and last of a chapter rarely."""
    each = -(-EVEN_PAGES // len(benchmark.chapters))
    chosen = []
    for chapter in benchmark.chapters:
        chosen += spread([page for page in benchmark.pages if page.chapter == chapter.name], each)
    return spread(chosen, EVEN_LIMIT)


def ranking_metrics(results: Results) -> list[str]:
    """What the reader can choose worst and best pages by: page metrics without network."""
    there = dict.fromkeys(name for page in results["pages"] for name in page_metric_names(page))
    shown, networks = columns(results), results["protocol"].get("networks", {})
    return [name for name in there if name in shown and name not in networks]


def _extremes(rows: Sequence[Row], ranking: Mapping[str, bool]) -> Iterator[tuple[str, Row]]:
    """Pages at both ends of each metric; none is both where there are few."""
    count = min(EXTREME_PAGES, len(rows) // 2)
    for metric, higher_is_better in ranking.items():
        if not all(metric in row for row in rows):
            continue
        ranked = sorted(rows, key=lambda row: row[metric], reverse=not higher_is_better)
        yield from ((f"worst:{metric}", row) for row in ranked[:count])
        yield from ((f"best:{metric}", row) for row in ranked[len(ranked) - count :])
