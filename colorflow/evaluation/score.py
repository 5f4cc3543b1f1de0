"""Stage two: folders in, one row of numbers a page out. No model is loaded; it can be run again alone.

Rules for a folder that does not fit the benchmark: an extra picture is an error; missing pages
are an error unless ``max_missing`` allows them, and are then left out of that row's n; a picture
that cannot be read, or whose aspect is not the page's, is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from colorflow.baselines.predictions import PredictionsError, PredictionsFolder
from colorflow.evaluation.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.generate import read_manifest
from colorflow.evaluation.protocol import Protocol
from colorflow.metrics import HIGHER_IS_BETTER
from colorflow.utils.failures import allowed_failures
from colorflow.utils.files import append_jsonl, read_jsonl
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import load_image
from colorflow.utils.log import get_logger
from colorflow.utils.progress import track

Row = dict[str, Any]

_LISTED = 10

logger = get_logger(__name__)


def score(
    predictions: PredictionsFolder,
    benchmark: Benchmark,
    protocol: Protocol,
    *,
    method: str,
    max_missing: float = 0.0,
    cache: Path | None = None,
    progress: bool = True,
) -> list[Row]:
    """Score a folder of predictions.

    Args:
        predictions: The pictures of one method and style.
        benchmark: The truth.
        protocol: Sizes and definitions.
        method: Row name.
        max_missing: Fraction of pages that may be missing, as ``max_failures`` of ``generate``.
        cache: JSON lines of rows scored before. A row is taken from it where prediction, truth and
            protocol are the same bytes; new rows are appended, so that a killed run goes on.
        progress: Show a progress bar.

    Returns:
        One dict a page in benchmark order: ``method, style, chapter, page``, each metric, ``seed``
        (None for other systems' folders), ``prediction_sha256``, ``target_sha256``.

    Raises:
        PredictionsError: By the rules above.
    """
    pages = check_pages(predictions, benchmark, method=method, max_missing=max_missing)
    manifest = read_manifest(predictions.folder)
    keys = [_key(predictions, benchmark, protocol, method, page, manifest) for page in pages]
    known = _read_cache(cache)
    todo = [(page, key) for page, key in zip(pages, keys, strict=True) if _frozen(key) not in known]
    pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
    try:
        scored = pool.map(lambda item: _score_page(predictions, benchmark, protocol, *item), todo)
        for row in _consume(scored, len(todo), f"score {method}", progress):
            known[_frozen(row)] = row
            if cache is not None:
                append_jsonl(row, cache)
    finally:
        pool.shutdown(cancel_futures=True)
    return [_public(known[_frozen(key)]) for key in keys]


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
    if missing:
        logger.warning("%s: %d pages are missing and left out of its row: %s", method, len(missing), ", ".join(missing))
    return [page for key, page in expected.items() if key in predictions.pages]


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


def _score_page(
    predictions: PredictionsFolder, benchmark: Benchmark, protocol: Protocol, page: BenchmarkPage, key: Row
) -> Row:
    path = predictions.pages[page.chapter, page.name]
    try:
        values = protocol.page_scores(load_image(path), benchmark.target(page))
    except ValueError as error:
        raise PredictionsError(f"{key['method']}: page {page.id} ({path}): {error}") from error
    return key | values


def _consume(rows: Iterable[Row], count: int, description: str, progress: bool) -> Iterable[Row]:
    """Draw rows from the pool in order, with a bar."""
    iterator = iter(rows)
    return (next(iterator) for _ in track(range(count), description, progress))


def _frozen(row: Row) -> tuple[Any, ...]:
    """What a cached row is found by."""
    names = ("method", "style", "chapter", "page", "seed", "prediction_sha256", "target_sha256", "protocol_sha256")
    return tuple(row[name] for name in names)


def _read_cache(path: Path | None) -> dict[tuple[Any, ...], Row]:
    rows = read_jsonl(path) if path is not None and path.is_file() else []
    return {_frozen(row): row for row in rows}


def _public(row: Row) -> Row:
    """The row as in results.json: names, metrics, then what it was made from."""
    names = ("method", "style", "chapter", "page", *HIGHER_IS_BETTER, "seed", "prediction_sha256", "target_sha256")
    return {name: row[name] for name in names}
