"""Stage one: a method colours every page of a benchmark, one lossless PNG a page and a manifest.

``<output>/<row name>/<style>/{<chapter>/NNN.png, manifest.jsonl, generation.json}``. A page is kept
where its PNG has the digest that the manifest tells: a run killed at any moment loses only the pages in the making.
How many processes share the pages changes no page, and how many are computed at once only by rounding.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from colorflow.distributed.ranks import Ranks
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.generate.generation_folder import GenerationError, PageWriter, finish, page_settings, resume
from colorflow.methods import References
from colorflow.schema import NATIVE_SIZE, BatchColorizer, Colorizer, PageRecord, PoolColorizer, ReferencePool
from colorflow.utils.images import to_rgb
from colorflow.utils.log import get_logger
from colorflow.utils.progress import allowed_failures, track


@dataclass(frozen=True)
class Colored:
    """A page, its result, the seconds it took and the size it was computed at."""

    page: BenchmarkPage
    image: Image.Image
    seconds: float
    size: tuple[int, int]


@dataclass(frozen=True)
class ColoringJob:
    """What is asked of a method: arguments of ``generate`` under their names."""

    method: Colorizer
    benchmark: Benchmark
    row: str
    style: str
    references: References
    base_seed: int

    @property
    def name(self) -> str:
        """For messages, and in names that processes meet under."""
        return f"{self.row} ({self.style})"

    def one(self, page: BenchmarkPage) -> Colored:
        """Colour a page."""
        image, pool = self._inputs(page)
        start = time.perf_counter()
        result = self.method.colorize(image, pool, seed=self._seed(page))
        return _checked(page, result, time.perf_counter() - start)

    def record(self, colored: Colored) -> PageRecord:
        """Of a page that is not written yet: without digest."""
        page, seconds = colored.page, round(colored.seconds, 4)
        return PageRecord(
            self.row, self.style, page.chapter, page.name, self._seed(page), seconds, colored.size, sha256=""
        )

    def at_once(self, pages: Sequence[BenchmarkPage]) -> list[Colored]:
        """Colour pages in one call; each is said to have taken an equal part of the time."""
        assert isinstance(self.method, BatchColorizer)
        images, pools = zip(*map(self._inputs, pages), strict=True)
        start = time.perf_counter()
        results = self.method.colorize_batch(images, pools, seeds=[self._seed(page) for page in pages])
        seconds = (time.perf_counter() - start) / len(pages)
        return [_checked(page, result, seconds) for page, result in zip(pages, results, strict=True)]

    def _inputs(self, page: BenchmarkPage) -> tuple[Image.Image, ReferencePool]:
        return self.benchmark.input(page, self.style), self.benchmark.references(page, self.references)

    def _seed(self, page: BenchmarkPage) -> int:
        return self.base_seed + page.index


def _checked(page: BenchmarkPage, result: Any, seconds: float) -> Colored:
    if not isinstance(result, Image.Image):
        raise TypeError(f"colorize: expected a PIL image, got {type(result).__name__}")
    return Colored(page, to_rgb(result), seconds, result.info.get(NATIVE_SIZE, result.size))


logger = get_logger(__name__)


class MethodError(GenerationError):
    """A method that failed on too many pages: in all processes the same, after all have told what they made."""


@dataclass(frozen=True)
class GenerationReport:
    """What ``generate`` did, in all processes together.

    Attributes:
        folder: The predictions folder, ``<output>/<row name>``.
        written: Pages coloured now.
        reused: Pages that were there.
        failures: Pages that the method raised on and the errors, which are left out.
    """

    folder: Path
    written: int
    reused: int
    failures: tuple[tuple[str, str], ...]


def generate(
    method: Colorizer,
    benchmark: Benchmark,
    output: str | Path,
    *,
    name: str | None = None,
    style: str = "gray",
    references: References = "own",
    base_seed: int = 0,
    fingerprint: str = "",
    max_failures: float = 0.05,
    batch_size: int = 1,
    progress: bool = True,
    ranks: Ranks | None = None,
) -> GenerationReport:
    """Colour every page of a benchmark that is not there yet.

    A page that the method raises on is skipped and listed; the run stops when more fail than ``allowed_failures`` says.

    Args:
        method: Colours one page, or several at once if it is a `BatchColorizer`.
        benchmark: The pages.
        output: Folder of the row's folder.
        name: Row name, by default the method's.
        style: Which input the method gets.
        references: Which pool the method gets.
        base_seed: Seed of page 0; that of another is this + its index in the benchmark.
        fingerprint: Tells the method, its weights and options from others of its row name; their pages are not reused.
        max_failures: Fraction of pages that may fail.
        batch_size: Pages of a chapter that a `BatchColorizer` gets at once; a `PoolColorizer` gets all with one pool.
        progress: Show a progress bar.
        ranks: The processes that share the pages; default: this one.

    Raises:
        BenchmarkError: For a style or references that the benchmark does not have.
        GenerationError: For a folder made with other settings, and when a page cannot be written.
        MethodError: When too many pages fail; those that worked are in the manifest.
    """
    ranks = ranks or Ranks()
    job = ColoringJob(method, benchmark, name or method.name, style, references, base_seed)
    folder = Path(output) / job.row / style
    due = _due(job, folder, fingerprint, ranks)
    batches = _batches(due, job, batch_size)
    failures = _Failures(job, max_failures, ranks)
    with PageWriter(folder, ranks.rank) as writer:
        for pages in track(ranks.part(batches), job.row, progress and ranks.first):
            ranks.check()
            if failures.too_many:
                break
            for colored in _colorize(job, pages, failures):
                writer.write(colored.image, job.record(colored))
    told = ranks.gather(f"generated {job.name}", [writer.records, failures.listed])
    records, failed = ([item for one in part for item in one] for part in zip(*told, strict=True))
    failures.tell(failed[len(failures.listed) :])
    finish(folder, benchmark, records, ranks)
    failures.check(failed)
    kept = len(benchmark.pages) - len(due)
    return GenerationReport(folder.parent, len(records), kept, tuple((page, text) for page, text in failed))


class _Failures:
    """Pages left out by this process; counted over all.

    Args:
        job: What is done.
        fraction: Of the pages that may fail.
        ranks: All processes.
    """

    def __init__(self, job: ColoringJob, fraction: float, ranks: Ranks) -> None:
        self.listed: list[tuple[str, str]] = []
        self._job, self._fraction = job, fraction
        self._count = ranks.counter(f"failures of {job.name}")
        self._allowed = allowed_failures(len(job.benchmark.pages), fraction)
        self._last: Exception | None = None

    @property
    def too_many(self) -> bool:
        """Whether more pages have failed than may, in all processes together."""
        return self._count(0) > self._allowed

    def add(self, page: BenchmarkPage, error: Exception) -> None:
        """Note a page."""
        self.listed.append((page.id, f"{type(error).__name__}: {error}"))
        self._last = error
        self._count(1)
        self.tell(self.listed[-1:])

    def check(self, failed: Sequence[tuple[str, str]]) -> None:
        """Look at the failures of all processes, the same in each.

        Raises:
            MethodError: Where they are too many.
        """
        if len(failed) > self._allowed:
            lines = "\n".join(f"  {page}: {text}" for page, text in failed[:5])
            raise MethodError(
                f"{self._job.row}: {len(failed)} of {len(self._job.benchmark.pages)} pages failed, more than "
                f"max_failures={self._fraction:g} allows ({self._allowed}):\n{lines}\nThe pages that worked are kept; "
                "run again after mending the method, or raise max_failures."
            ) from self._last

    def tell(self, failed: Sequence[tuple[str, str]]) -> None:
        """Warn of pages; heard from the first process alone, which tells those of the others at the end."""
        for page, text in failed:
            logger.warning("%s: page %s failed and is left out: %s", self._job.row, page, text)


def _due(job: ColoringJob, folder: Path, fingerprint: str, ranks: Ranks) -> list[BenchmarkPage]:
    """The pages that are not there, the same for all processes."""
    job.benchmark.check_style(job.style)
    job.benchmark.check_references(job.references)
    settings = page_settings(job.benchmark, job.row, job.style, job.references, job.base_seed, fingerprint)
    ranks.agree(f"settings of {job.name}", settings)
    due = ranks.share(f"due {job.name}", lambda: [page.index for page in resume(folder, settings, job.benchmark)])
    return [job.benchmark.pages[index] for index in due]


def _batches(pages: Sequence[BenchmarkPage], job: ColoringJob, size: int) -> list[list[BenchmarkPage]]:
    """Neighbours of one chapter, or pages of one pool; who goes with whom hangs on both and on what is due."""
    if size < 1:
        raise GenerationError(f"batch_size: expected at least 1, got {size}")
    size = size if isinstance(job.method, BatchColorizer) else 1
    chapters = job.benchmark.chapters
    places = {(chapter.name, name): place for chapter in chapters for place, name in enumerate(chapter.pages)}
    batches: dict[tuple[str, Hashable], list[BenchmarkPage]] = {}
    for page in pages:
        group: Hashable = places[page.chapter, page.name] // size
        if isinstance(job.method, PoolColorizer):
            group = job.benchmark.reference_keys(page, job.references)
        batches.setdefault((page.chapter, group), []).append(page)
    return list(batches.values())


def _colorize(job: ColoringJob, pages: Sequence[BenchmarkPage], failures: _Failures) -> Iterator[Colored]:
    """Colour pages together; page by page where that fails, to lose a bad page alone; a pool all or none."""
    pool = isinstance(job.method, PoolColorizer)
    if pool or len(pages) > 1:
        try:
            together = job.at_once(pages)
        except Exception as error:  # out of memory, too: what the attempt held is free once this block ends
            if pool:
                for page in pages:
                    failures.add(page, error)
                return
            names = ", ".join(page.id for page in pages)
            logger.warning("%s: pages %s failed together and are tried one by one: %s", job.row, names, error)
        else:
            yield from together
            return
    for page in pages:
        try:
            colored = job.one(page)
        except Exception as error:
            failures.add(page, error)
        else:
            yield colored
