"""Make a study of an evaluation: ``site/`` to hand out, and ``key.json`` to keep.

How blind it is: the site holds no method's name anywhere. A candidate is a random code that is drawn for each
question, so that a method cannot be followed from one question to the next; which code is which method is in
``key.json`` alone. Who knows a method's pictures can recognise them, as in any study.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage, read_benchmark
from colorflow.evaluation.report.html import fill_page
from colorflow.evaluation.report.report import SOURCES
from colorflow.evaluation.report.strips import as_page
from colorflow.evaluation.results import GRAY_COPY, Results, read_results
from colorflow.evaluation.user_study.votes import CRITERIA, KEY_FILE, VERSION, StudyError
from colorflow.utils.files import atomic_path, write_json_atomic, write_text_atomic
from colorflow.utils.images import load_image
from colorflow.utils.progress import track
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


MAX_METHODS = 9
"""A rank is a digit key."""


@dataclass(frozen=True)
class StudyOptions:
    """What a study asks.

    Attributes:
        methods: Row names; empty for all but the gray copy.
        style: Input style; empty for the first of the results.
        questions: Groups of pages, each judged by every criterion (our choice; the paper does not say).
        pages: Successive pages that are shown for consistency (our choice).
        title: Heading of the page.
    """

    methods: tuple[str, ...] = ()
    style: str = ""
    questions: int = 20
    pages: int = 3
    title: str = "Which colouring is best?"


def build_study(
    results: str | Path,
    output: str | Path,
    options: StudyOptions | None = None,
    *,
    benchmark: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Write a study.

    Args:
        results: Folder of an evaluation with its report (``results.json``, ``sources.json``).
        output: Folder for ``site/`` and ``key.json``; must not hold a study.
        options: What is asked.
        benchmark: The benchmark folder, where it is no longer where ``sources.json`` says.
        progress: Show a progress bar.

    Returns:
        The page, ``<output>/site/index.html``.

    Raises:
        StudyError: For results without sources, methods or styles that are not there, too few pages, and an output
            that holds a study: votes cast on it could no longer be read.
    """
    options, source, output = options or StudyOptions(), Path(results), Path(output)
    if (output / KEY_FILE).exists():
        raise StudyError(f"{output}: holds a study already, whose votes its {KEY_FILE} tells; choose another output")
    style, methods = _choose_rows(read_results(source / "results.json"), options)
    opened, folders = _open_sources(source, benchmark, methods, style)
    questions = choose_questions(opened, list(folders.values()), options.questions, options.pages)
    if not questions:
        raise StudyError(
            f"{source}: expected a chapter with {options.pages} pages that every method has, got none; lower pages="
        )
    key = _draw_key(opened, style, methods, questions)
    for question in track(questions, "pictures", progress):
        of_code = {code: folders[method] for code, method in key["questions"][question.id]["codes"].items()}
        write_pictures(question, opened, of_code, output / "site" / "pictures" / question.id)
    page = output / "site" / "index.html"
    write_text_atomic(_page(key, options), page)
    write_json_atomic(key, output / KEY_FILE)
    return page


def _choose_rows(results: Results, options: StudyOptions) -> tuple[str, list[str]]:
    styles = list(dict.fromkeys(row["style"] for row in results["rows"]))
    style = options.style or styles[0]
    if style not in styles:
        raise StudyError(f"style: expected one of the results' ({', '.join(styles)}), got {style!r}")
    there = [row["method"] for row in results["rows"] if row["style"] == style]
    methods = list(dict.fromkeys(options.methods)) or [name for name in there if name != GRAY_COPY]
    if unknown := [name for name in methods if name not in there]:
        raise StudyError(f"methods: expected rows of style {style!r} ({', '.join(there)}), got {unknown}")
    if not 2 <= len(methods) <= MAX_METHODS:
        raise StudyError(f"methods: expected 2 to {MAX_METHODS} to rank, got {len(methods)}: {', '.join(methods)}")
    return style, methods


def _open_sources(
    source: Path, benchmark: str | Path | None, methods: list[str], style: str
) -> tuple[Benchmark, dict[str, PredictionsFolder]]:
    path = source / SOURCES
    if not path.is_file():
        raise StudyError(f"expected {path}, which tells where the pictures lie, found none; run stage=report first")
    sources = json.loads(path.read_text(encoding="utf-8"))
    absent = [name for name in methods if f"{name}/{style}" not in sources["predictions"]]
    if absent:
        raise StudyError(
            f"{path}: no pictures of {', '.join(absent)} ({style}); run stage=report with these methods, or leave "
            "them out"
        )
    folders = {name: source / sources["predictions"][f"{name}/{style}"] for name in methods}
    opened = read_benchmark(benchmark or source / sources["benchmark"], verify=False)
    return opened, {name: PredictionsFolder(folder.parent, folder.name) for name, folder in folders.items()}


def _draw_key(benchmark: Benchmark, style: str, methods: list[str], questions: list[Question]) -> dict[str, Any]:
    """Which code is which method; the secret makes sure that nobody can compute it from the site."""
    secret = secrets.token_hex(16)

    def code(question: Question, method: str) -> str:
        return hashlib.sha256(f"{secret}/{question.id}/{method}".encode()).hexdigest()[:12]

    return {
        "version": VERSION,
        "study": hashlib.sha256(secret.encode()).hexdigest()[:16],
        "benchmark": benchmark.name,
        "style": style,
        "methods": methods,
        "questions": {
            question.id: {
                "chapter": question.page.chapter,
                "pages": [page.name for page in question.pages],
                "codes": {code(question, method): method for method in methods},
            }
            for question in questions
        },
    }


def _page(key: Mapping[str, Any], options: StudyOptions) -> str:
    data = {
        "version": VERSION,
        "study": key["study"],
        "criteria": [asdict(criterion) for criterion in CRITERIA],
        "questions": [{"id": name, "codes": sorted(one["codes"])} for name, one in key["questions"].items()],
    }
    return fill_page(
        "study.html",
        {"title": options.title},
        styles=("base.css", "zoom.css", "study.css"),
        scripts=("theme.js", "dom.js", "zoom.js", "study.js"),
        data=data,
    )
