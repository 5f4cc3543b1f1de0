"""The folder of a row and style: what its pages were made with, which of them are there and whole, and new ones."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from PIL import Image

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.distributed.ranks import Ranks
from colorflow.distributed.shared_lines import SharedLines
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.methods import References
from colorflow.schema import PageRecord
from colorflow.utils.files import write_json_atomic
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import save_png
from colorflow.utils.log import get_logger

MANIFEST = "manifest.jsonl"
GENERATION = "generation.json"

Key = tuple[str, str]
Record = dict[str, Any]

_SHOWN_AFTER = 120.0
"""Seconds after which a network folder must show what another node wrote; NFS caches a listing for 60 at most."""

logger = get_logger(__name__)


class GenerationError(RuntimeError):
    """Generation that cannot start or go on; the message says what to do."""


def page_settings(
    benchmark: Benchmark, row: str, style: str, references: References, base_seed: int, fingerprint: str
) -> Record:
    """What the pages of a row hang on; arguments as for ``generate``."""
    return {
        "method": row,
        "benchmark": benchmark.name,
        "benchmark_sha256": benchmark.digest,
        "style": style,
        "references": references,
        "base_seed": base_seed,
        "fingerprint": fingerprint,
    }


def check_settings(expected: Mapping[Path, Record]) -> None:
    """Check that folders hold pages of these settings, or none.

    Raises:
        GenerationError: Naming all that do not.
    """
    problems = [text for folder, settings in expected.items() if (text := _difference(folder, settings)) is not None]
    if problems:
        raise GenerationError("\n".join([*problems, "choose another output or remove what is named above"]))


def read_manifest(folder: Path) -> dict[Key, Record]:
    """Read the last record of each (chapter, page); empty where there is no manifest."""
    records = SharedLines(folder / MANIFEST).read()
    return {(str(record["chapter"]), str(record["page"])): record for record in records}


def resume(folder: Path, settings: Record, benchmark: Benchmark) -> list[BenchmarkPage]:
    """Check or write ``generation.json``, and reduce the manifest to the pages that are whole.

    Returns:
        The pages that are due.

    Raises:
        GenerationError: For a folder that was made with other settings.
    """
    check_settings({folder: settings})
    for torn in folder.glob("*/.*.png"):  # what a kill left of `atomic_path`
        torn.unlink()
    write_json_atomic(settings, folder / GENERATION)
    records = read_manifest(folder)
    pages = {(page.chapter, page.name): page for page in benchmark.pages}
    whole = {key: records[key] for key in pages if key in records and _is_whole(folder, records[key])}
    if len(whole) < len(records):
        logger.info(
            "%s: %d pages of the manifest are missing or changed and are redone", folder, len(records) - len(whole)
        )
    SharedLines(folder / MANIFEST).replace(whole.values())
    return [page for key, page in pages.items() if key not in whole]


def finish(folder: Path, benchmark: Benchmark, written: Sequence[Record], ranks: Ranks) -> None:
    """Make one manifest in benchmark order, and wait until this process can see the pages of all.

    Args:
        folder: The folder.
        benchmark: The benchmark.
        written: What all processes have written now; a network folder may not show their files yet.
        ranks: These processes.

    Raises:
        GenerationError: Where it never does.
    """

    def join() -> list[str]:
        records = read_manifest(folder) | {(record["chapter"], record["page"]): record for record in written}
        pages = [page for page in benchmark.pages if (page.chapter, page.name) in records]
        SharedLines(folder / MANIFEST).replace(records[page.chapter, page.name] for page in pages)
        return [page.id for page in pages]

    pages = ranks.share(f"join {folder.parent.name} ({folder.name})", join)
    if ranks.world > 1:
        _await_pages(folder, set(pages), ranks)


def _await_pages(folder: Path, pages: set[str], ranks: Ranks) -> None:
    limit = time.monotonic() + _SHOWN_AFTER
    while missing := pages - _listed(folder):
        ranks.check()
        if time.monotonic() > limit:
            raise GenerationError(
                f"{folder}: process {ranks.rank} does not see {len(missing)} pages that others have written, e.g. "
                f"{min(missing)}; output must be a folder that all processes share"
            )
        time.sleep(1)


def _listed(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {f"{chapter}/{page}" for chapter, page in PredictionsFolder(folder.parent, folder.name).pages}


def _difference(folder: Path, settings: Record) -> str | None:
    path = folder / GENERATION
    if not path.is_file():
        foreign = folder.is_dir() and any(folder.iterdir())
        return f"{folder}: holds files without {GENERATION}" if foreign else None
    before = json.loads(path.read_text(encoding="utf-8"))
    different = [key for key in settings if before.get(key) != settings[key]]
    if not different or not any(folder.glob("*/*.png")):  # no pages: a method that failed on its first
        return None
    was, now = ([made.get(key) for key in different] for made in (before, settings))
    return f"{folder}: holds pages made with other settings ({', '.join(different)} differ: {was}, now {now})"


def _is_whole(folder: Path, record: Record) -> bool:
    path = folder / record["chapter"] / f"{record['page']}.png"
    return path.is_file() and digest_file(path) == str(record["sha256"])


_IN_FLIGHT = 4
"""Pages that wait or are being written at most: what a kill can cost beside the page that is computed."""

logger = get_logger(__name__)


class PageWriter:
    """Writes pages in threads while the next is computed; a page's line in the manifest comes when its file is whole.

    As a context manager it ends when all is written, also after an error.

    Args:
        folder: Folder of the chapter folders.
        writer: Number of this process among those that write there.

    Attributes:
        records: Of the pages written so far, in no order.
    """

    def __init__(self, folder: Path, writer: int = 0) -> None:
        self.records: list[Record] = []
        self._folder = folder
        self._manifest = SharedLines(folder / MANIFEST, writer)
        self._lock = Lock()
        self._pending: deque[Future[None]] = deque()
        self._threads = ThreadPoolExecutor(min(_IN_FLIGHT, os.cpu_count() or 1), thread_name_prefix="png")

    def write(self, image: Image.Image, record: PageRecord) -> None:
        """Begin to write a page; waits only while too many are on their way.

        Args:
            image: RGB; not changed afterwards.
            record: Its record, the digest still empty.

        Raises:
            GenerationError: Where this or an earlier page cannot be written.
        """
        while self._pending and (len(self._pending) >= _IN_FLIGHT or self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.append(self._threads.submit(self._write, image, record))

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all pages.

        Raises:
            GenerationError: For the first that could not be written, unless another error is on its way.
        """
        self._threads.shutdown()
        failed = [problem for pending in self._pending if (problem := pending.exception()) is not None]
        if failed and error is None:
            raise failed[0]
        for problem in failed:
            logger.error("%s", problem)

    def _write(self, image: Image.Image, record: PageRecord) -> None:
        path = self._folder / record.chapter / f"{record.page}.png"
        try:
            save_png(image, path)
            whole = asdict(replace(record, sha256=digest_file(path)))
            with self._lock:
                self._manifest.append(whole)
                self.records.append(whole)
        except OSError as error:
            raise GenerationError(
                f"{path}: expected to write the page, got {type(error).__name__}: {error}; what was written before is "
                "kept: make room there and run again"
            ) from error
