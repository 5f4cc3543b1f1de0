"""Which pages a study asks about, and the pictures of each question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.report.strips import as_page
from colorflow.utils.files import atomic_path
from colorflow.utils.images import load_image
from colorflow.utils.strips import contain, spread

PICTURE_SIZE = (1000, 1000)
_GAP = 16


@dataclass(frozen=True)
class Question:
    """Successive pages of one chapter; the middle one is shown where one page is judged."""

    id: str
    pages: tuple[BenchmarkPage, ...]

    @property
    def page(self) -> BenchmarkPage:
        """The page that is judged alone."""
        return self.pages[len(self.pages) // 2]


def choose_questions(
    benchmark: Benchmark, folders: Sequence[PredictionsFolder], count: int, length: int
) -> list[Question]:
    """Spread questions evenly over runs of pages that every method has; nothing is picked for its result.

    Args:
        benchmark: The pages.
        folders: Predictions of the methods.
        count: Questions at most.
        length: Pages of a run.
    """
    runs = []
    for chapter in benchmark.chapters:
        pages = [page for page in benchmark.pages if page.chapter == chapter.name]
        whole = [page for page in pages if all((page.chapter, page.name) in folder.pages for folder in folders)]
        runs += [tuple(whole[i : i + length]) for i in range(0, len(whole) - length + 1, length)]
    return [Question(f"q{number:03d}", pages) for number, pages in enumerate(spread(runs, count), 1)]


def write_pictures(
    question: Question,
    benchmark: Benchmark,
    folders: Mapping[str, PredictionsFolder],
    folder: Path,
) -> None:
    """Write ``<code>-page``, ``<code>-sequence``, ``original`` and ``references`` of one question, without metadata.

    Every candidate is brought to the original's size, so that a method is not told by its resolution.

    Args:
        question: Its pages.
        benchmark: Where originals and references are.
        folders: Predictions by code.
        folder: Where to write.
    """
    truths = {page: benchmark.target(page) for page in question.pages}
    for code in sorted(folders):  # not in the methods' order: times of files tell nothing
        pictures = {page: _prediction(folders[code], page, truth.size) for page, truth in truths.items()}
        _save(pictures[question.page], folder / f"{code}-page.webp")
        _save(_row(list(pictures.values())), folder / f"{code}-sequence.webp")
    _save(truths[question.page], folder / "original.webp")
    _save(_row(_references(question, benchmark)), folder / "references.webp")


def _references(question: Question, benchmark: Benchmark) -> list[Image.Image]:
    """As many reference pages as are judged, evenly taken; not the originals of those, where the pool has others."""
    pool = benchmark.references(question.page)
    own = {benchmark.target_key(page).removesuffix(".png") for page in question.pages}
    others = [picture for name, picture in zip(pool.ids, pool.pages, strict=True) if name not in own]
    return spread(others or list(pool.pages), len(question.pages))


def _prediction(folder: PredictionsFolder, page: BenchmarkPage, size: tuple[int, int]) -> Image.Image:
    image = as_page(load_image(folder.pages[page.chapter, page.name]), size)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def _row(pages: Sequence[Image.Image]) -> Image.Image:
    """Pages side by side at one height, in reading order from the left."""
    height = max(page.height for page in pages)
    sizes = [(round(page.width * height / page.height), height) for page in pages]
    scaled = [page.resize(size, Image.Resampling.LANCZOS) for page, size in zip(pages, sizes, strict=True)]
    row = Image.new("RGB", (sum(page.width for page in scaled) + _GAP * (len(scaled) - 1), height), "white")
    left = 0
    for page in scaled:
        row.paste(page, (left, 0))
        left += page.width + _GAP
    return row


def _save(image: Image.Image, path: Path) -> None:
    limit = (PICTURE_SIZE[0] * max(1, round(image.width / image.height)), PICTURE_SIZE[1])
    small = contain(image, limit) if image.width > limit[0] or image.height > limit[1] else image
    with atomic_path(path) as temporary:
        small.save(temporary, format="WEBP", quality=92)
