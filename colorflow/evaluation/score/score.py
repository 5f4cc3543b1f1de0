"""Stage two: folders in, one row of numbers a page out, and what all pages of a row give together.

No colorizer is loaded; it can be run again alone. Rules for a folder that does not fit the benchmark: an extra
picture is an error; missing pages are an error unless ``max_missing`` allows them, and are then left out of that
row's n; a picture that cannot be read, or whose aspect is not the page's, is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isnan
from pathlib import Path
from typing import Any

from colorflow.baselines.predictions import PredictionsError, PredictionsFolder
from colorflow.distributed.ranks import Ranks
from colorflow.distributed.shared_lines import SharedLines
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.generate.generation_folder import read_manifest
from colorflow.evaluation.results import PAGE_KEY, PAGE_SOURCES, Row
from colorflow.evaluation.score.measuring import Answers, Batches, Job, column, in_order, prepare, single_threads
from colorflow.evaluation.score.protocol import Protocol, Suite
from colorflow.metrics import MetricSpec
from colorflow.utils.hashing import digest_file
from colorflow.utils.log import get_logger
from colorflow.utils.progress import allowed_failures, track
from colorflow.utils.tensors import full_precision

_LISTED = 10

logger = get_logger(__name__)


@dataclass(frozen=True)
class RowScores:
    """The scores of one row of the table.

    Attributes:
        pages: One dict a page in benchmark order: ``method, style, chapter, page``, each page metric, ``seed``
            (None for other systems' folders), ``prediction_sha256``, ``target_sha256``.
        sets: Metrics of all pages together (FID, KID).
        chapters: Metrics of a chapter, by metric and chapter; chapters that have no value are left out.
    """

    pages: list[Row]
    sets: Mapping[str, float] = field(default_factory=dict)
    chapters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def score(
    predictions: PredictionsFolder,
    benchmark: Benchmark,
    protocol: Protocol,
    *,
    method: str,
    suite: Suite | None = None,
    max_missing: float = 0.0,
    cache: Path | None = None,
    progress: bool = True,
) -> RowScores:
    """Score a folder of predictions.

    Args:
        predictions: The pictures of one method and style.
        benchmark: The truth.
        protocol: Sizes and definitions.
        method: Row name.
        suite: What is measured; default: all that needs no network.
        max_missing: Fraction of pages that may be missing, as ``max_failures`` of ``generate``.
        cache: JSON lines of rows scored before; what networks answered lies beside it. A row is taken from it
            where prediction, truth and protocol are the same bytes; new rows are appended, so that a killed run
            goes on.
        progress: Show a progress bar.

    Raises:
        PredictionsError: By the rules above.
    """
    pages = check_pages(predictions, benchmark, method=method, max_missing=max_missing)
    if missing := [page.id for page in benchmark.pages if (page.chapter, page.name) not in predictions.pages]:
        logger.warning("%s: %d pages are missing and left out of its row: %s", method, len(missing), ", ".join(missing))
    suite = suite or Suite()
    return _assemble(*_measure(pages, predictions, benchmark, protocol, method, suite, cache, Ranks(), progress))


def measure(
    predictions: PredictionsFolder,
    benchmark: Benchmark,
    protocol: Protocol,
    ranks: Ranks,
    *,
    method: str,
    suite: Suite,
    max_missing: float,
    cache: Path,
    progress: bool = True,
) -> None:
    """Do this process's share of what ``score`` would do, into the cache; arguments and errors as there.

    A share is a run of neighbouring pages. What one process has not seen of the others' work when it scores, it does
    itself.
    """
    pages = ranks.part(check_pages(predictions, benchmark, method=method, max_missing=max_missing))
    _measure(pages, predictions, benchmark, protocol, method, suite, cache, ranks, progress and ranks.first)


def check_pages(
    predictions: PredictionsFolder, benchmark: Benchmark, *, method: str, max_missing: float = 0.0
) -> list[BenchmarkPage]:
    """Compare the folder with the benchmark by names alone and return the pages it has.

    Raises:
        PredictionsError: For extra pictures, and for more missing ones than allowed.
    """
    expected = {(page.chapter, page.name): page for page in benchmark.pages}
    missing = [f"{chapter}/{name}" for chapter, name in expected if (chapter, name) not in predictions.pages]
    extra = [f"{chapter}/{name}" for chapter, name in predictions.pages if (chapter, name) not in expected]
    allowed = allowed_failures(len(expected), max_missing)
    if extra or len(missing) > allowed or len(missing) == len(expected):
        raise PredictionsError(
            f"{method}: expected the {len(expected)} pages of benchmark {benchmark.name} in {predictions.folder}, got "
            f"{len(missing)} missing ({allowed} allowed) and {len(extra)} extra{_listing('missing', missing)}"
            f"{_listing('extra', extra)}\nName pictures as the targets, <chapter>/NNN.png; a run of stage=generate "
            "that was stopped goes on where it was."
        )
    return [page for key, page in expected.items() if key in predictions.pages]


def _measure(
    pages: Sequence[BenchmarkPage],
    predictions: PredictionsFolder,
    benchmark: Benchmark,
    protocol: Protocol,
    method: str,
    suite: Suite,
    cache: Path | None,
    ranks: Ranks,
    progress: bool,
) -> tuple[list[Row], Answers]:
    """Rows and answers of pages: read from the cache, or made and kept there."""
    manifest = read_manifest(predictions.folder)
    keys = [_key(predictions, benchmark, protocol, method, page, manifest) for page in pages]
    lines = None if cache is None else SharedLines(cache, ranks.rank)
    known: dict[tuple[Any, ...], Row] = {}
    for row in lines.read() if lines else ():  # a later line of a page adds to an earlier one
        known[_frozen(row)] = known.get(_frozen(row), {}) | row
    answers = Answers(suite, protocol, cache, ranks.rank)
    free = [spec for spec in suite.specs if spec.network is None]
    jobs = []
    for page, key in zip(pages, keys, strict=True):
        kept = known.setdefault(_frozen(key), dict(key))
        pixels, wanted = tuple(spec for spec in free if column(spec) not in kept), answers.missing(key)
        if pixels or wanted:
            jobs.append(Job(page, predictions.pages[page.chapter, page.name], key, pixels, wanted))
    with full_precision(), single_threads() as pool:
        done = in_order(pool, partial(prepare, benchmark=benchmark, protocol=protocol), jobs)
        batches = Batches(answers, pool)
        for _ in track(range(len(jobs)), f"score {method}", progress):
            ranks.check()
            prepared = next(done)
            known[_frozen(prepared.job.key)] |= prepared.values
            if lines is not None and prepared.values:
                lines.append(prepared.job.key | prepared.values)
            batches.add(prepared)
        batches.finish()
    return [known[_frozen(key)] for key in keys], answers


def _listing(kind: str, pages: Sequence[str]) -> str:
    more = f" and {len(pages) - _LISTED} more" if len(pages) > _LISTED else ""
    return f"\n  {kind}: {', '.join(pages[:_LISTED])}{more}" if pages else ""


def _key(
    predictions: PredictionsFolder,
    benchmark: Benchmark,
    protocol: Protocol,
    method: str,
    page: BenchmarkPage,
    manifest: dict[tuple[str, str], Row],
) -> Row:
    """Everything of a row but its numbers."""
    digest = digest_file(predictions.pages[page.chapter, page.name])
    record = manifest.get((page.chapter, page.name))
    return {
        "method": method,
        "style": predictions.style,
        "chapter": page.chapter,
        "page": page.name,
        "seed": record["seed"] if record and record["sha256"] == digest else None,
        "prediction_sha256": digest,
        "target_sha256": benchmark.files[benchmark.target_key(page)],
        "protocol_sha256": protocol.digest,
    }


def _assemble(rows: Sequence[Row], answers: Answers) -> RowScores:
    """Make the numbers of what pages gave."""
    by_chapter: dict[str, list[Row]] = {}
    for row in rows:
        by_chapter.setdefault(row["chapter"], []).append(row)
    values: dict[str, list[float]] = {}
    sets: dict[str, float] = {}
    chapters: dict[str, dict[str, float]] = {}
    specs = _without_sets_of_one(answers.suite.specs, rows)
    for spec in specs:
        if spec.a_page:
            values[spec.key] = spec.reduce(*answers.of(spec, rows)).tolist()
        elif spec.sees == "set":
            sets[spec.key] = float(spec.reduce(*answers.of(spec, rows)))
        else:
            found = {name: float(spec.reduce(*answers.of(spec, pages))) for name, pages in by_chapter.items()}
            chapters[spec.key] = {name: value for name, value in found.items() if not isnan(value)}
            if not chapters[spec.key]:
                logger.warning(
                    "%s: no chapter has a value of %s; docs/metrics.md says what it needs", rows[0]["method"], spec.key
                )
    pages = [_public(row, {name: values[name][number] for name in values}) for number, row in enumerate(rows)]
    return RowScores(pages, sets, chapters)


def _without_sets_of_one(specs: Sequence[MetricSpec], rows: Sequence[Row]) -> list[MetricSpec]:
    """All specs but those of sets, where there is a single page."""
    sets = [spec.key for spec in specs if spec.sees == "set" and len(rows) < 2]
    if sets:
        logger.warning("%s: %s need at least two pages, got one", rows[0]["method"], ", ".join(sets))
    return [spec for spec in specs if spec.key not in sets]


def _frozen(row: Row) -> tuple[Any, ...]:
    """What a cached row is found by."""
    return tuple(row[name] for name in (*PAGE_KEY, *PAGE_SOURCES, "protocol_sha256"))


def _public(row: Row, values: Row) -> Row:
    """The row as in results.json: names, metrics, then what it was made from."""
    return {**{name: row[name] for name in PAGE_KEY}, **values, **{name: row[name] for name in PAGE_SOURCES}}
