"""Stage one: a method colours every page of a benchmark, one lossless PNG a page and a manifest.

``<output>/<row name>/<style>/{<chapter>/NNN.png, manifest.jsonl, generation.json}``. A page is kept
where its PNG has the digest that the manifest tells, so that a run killed at any moment goes on
where it stopped and loses one page at most. ``generation.json`` says what the pages were made
with; a folder made with anything else is not continued.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from colorflow.evaluation.benchmark import Benchmark, BenchmarkPage, References
from colorflow.schema import Colorizer, PageRecord, ReferencePool
from colorflow.utils.failures import allowed_failures
from colorflow.utils.files import append_jsonl, read_jsonl, write_json_atomic, write_text_atomic
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import save_png, to_rgb
from colorflow.utils.log import get_logger
from colorflow.utils.progress import track

MANIFEST = "manifest.jsonl"
GENERATION = "generation.json"

logger = get_logger(__name__)


class GenerationError(RuntimeError):
    """Generation that cannot start or go on; the message says what to do."""


@dataclass(frozen=True)
class Failure:
    """A page that the method raised on."""

    page: str
    error: str


@dataclass(frozen=True)
class GenerationReport:
    """What ``generate`` did.

    Attributes:
        folder: The predictions folder, ``<output>/<row name>``.
        written: Pages coloured now.
        reused: Pages that were there.
        failures: Pages left out.
    """

    folder: Path
    written: int
    reused: int
    failures: tuple[Failure, ...]


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
    progress: bool = True,
) -> GenerationReport:
    """Colour every page of a benchmark that is not there yet.

    The seed of a page is ``base_seed`` + its index in the benchmark. A page that the method raises
    on is skipped and listed; the run stops when more fail than ``allowed_failures`` says.

    Args:
        method: Colours one page.
        benchmark: The pages.
        output: Folder of the row's folder.
        name: Row name, by default the method's.
        style: Which input the method gets.
        references: Which pool the method gets.
        base_seed: Seed of page 0.
        fingerprint: Anything that tells this method from others of its row name, e.g. the digest of
            its weights and options. Pages made with another fingerprint are not reused.
        max_failures: Fraction of pages that may fail.
        progress: Show a progress bar.

    Returns:
        Counts, and the list of failures.

    Raises:
        BenchmarkError: For a style or references that the benchmark does not have.
        GenerationError: For a folder made with other settings, and when too many pages fail.
    """
    benchmark.check_style(style)
    benchmark.check_references(references)
    row = name or method.name
    folder = Path(output) / row / style
    settings = _settings(benchmark, row, style=style, references=references, base_seed=base_seed)
    done = _resume(folder, settings | {"fingerprint": fingerprint}, benchmark)
    todo = [page for page in benchmark.pages if (page.chapter, page.name) not in done]
    failures: list[Failure] = []
    for page in track(todo, row, progress):
        try:
            pool = benchmark.references(page, references)
            record = _colorize(method, benchmark.input(page, style), pool, base_seed + page.index, folder, page, row)
            append_jsonl(asdict(record), folder / MANIFEST)
        except Exception as error:
            failures.append(Failure(page.id, f"{type(error).__name__}: {error}"))
            logger.warning("%s: page %s failed and is left out: %s", row, page.id, failures[-1].error)
            if len(failures) > allowed_failures(len(benchmark.pages), max_failures):
                raise GenerationError(_too_many(row, failures, len(benchmark.pages), max_failures)) from error
    return GenerationReport(folder.parent, len(todo) - len(failures), len(done), tuple(failures))


def read_manifest(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Read the last record of each (chapter, page); empty where there is no manifest."""
    path = folder / MANIFEST
    records: list[dict[str, Any]] = read_jsonl(path) if path.is_file() else []
    return {(str(record["chapter"]), str(record["page"])): record for record in records}


def _colorize(
    method: Colorizer,
    image: Image.Image,
    pool: ReferencePool,
    seed: int,
    folder: Path,
    page: BenchmarkPage,
    row: str,
) -> PageRecord:
    """Colour and write one page."""
    start = time.perf_counter()
    result = method.colorize(image, pool, seed=seed)
    seconds = time.perf_counter() - start
    if not isinstance(result, Image.Image):
        raise TypeError(f"colorize: expected a PIL image, got {type(result).__name__}")
    path = folder / page.chapter / f"{page.name}.png"
    save_png(to_rgb(result), path)
    return PageRecord(
        method=row,
        style=folder.name,
        chapter=page.chapter,
        page=page.name,
        seed=seed,
        seconds=round(seconds, 4),
        size=result.size,
        sha256=digest_file(path),
    )


def _settings(benchmark: Benchmark, row: str, **options: Any) -> dict[str, Any]:
    return {"method": row, "benchmark": benchmark.name, "benchmark_sha256": benchmark.digest, **options}


def _resume(folder: Path, settings: dict[str, Any], benchmark: Benchmark) -> set[tuple[str, str]]:
    """Check or write ``generation.json``; reduce the manifest to the pages that are whole and return them."""
    path = folder / GENERATION
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if different := [key for key in settings if before.get(key) != settings[key]]:
            raise GenerationError(
                f"{folder}: holds pages made with other settings ({', '.join(different)} differ: "
                f"{[before.get(key) for key in different]}, now {[settings[key] for key in different]}); "
                "choose another output or remove that folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise GenerationError(f"{folder}: holds files without {GENERATION}; choose another output or remove them")
    write_json_atomic(settings, path)
    records = read_manifest(folder)
    pages = {(page.chapter, page.name) for page in benchmark.pages}
    whole = {key: record for key, record in records.items() if key in pages and _is_whole(folder, record)}
    if len(whole) < len(records):
        logger.info(
            "%s: %d pages of the manifest are missing or changed and are redone", folder, len(records) - len(whole)
        )
    write_text_atomic("".join(json.dumps(record) + "\n" for record in whole.values()), folder / MANIFEST)
    return set(whole)


def _is_whole(folder: Path, record: dict[str, Any]) -> bool:
    path = folder / record["chapter"] / f"{record['page']}.png"
    return path.is_file() and digest_file(path) == str(record["sha256"])


def _too_many(row: str, failures: Sequence[Failure], pages: int, fraction: float) -> str:
    lines = [f"  {failure.page}: {failure.error}" for failure in failures[:5]]
    return (
        f"{row}: {len(failures)} of {pages} pages failed, more than max_failures={fraction:g} allows "
        f"({allowed_failures(pages, fraction)}):\n" + "\n".join(lines) + "\nThe pages that worked are kept; run again "
        "after mending the method, or raise max_failures."
    )
