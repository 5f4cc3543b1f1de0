"""Recorded retrieval: for every page its pool and the twelve patches found in it, computed once.

As in the paper (section 4.1): the pool of a page is at least 20 random other pages of its chapter (all
there are where there are fewer), the 12 best patches are found once, and training does not retrieve
again. The page itself is never in its pool. Each page is decoded and embedded once a chapter.

A chapter's record is cached as JSON under a digest of everything it depends on: the bytes of its
pages, the retriever's name, page size, pool size and seed. A record whose digest does not match is
not used, so a stale cache costs time and never correctness.
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from colorflow.canvas import PATCHES_PER_PAGE, Size, fit_page
from colorflow.data.chapters import DataError, Skip, SkipReport
from colorflow.data.page_filter import KEEP_ALL, PageFilter
from colorflow.retrieval.retriever import PAGES_AT_ONCE, IndexedPool, Retriever, reference_pool
from colorflow.schema import Chapter, Page, RetrievedPatch
from colorflow.utils.files import write_json_atomic
from colorflow.utils.hashing import digest_file, digest_json
from colorflow.utils.images import ImageError, load_image
from colorflow.utils.log import get_logger
from colorflow.utils.progress import track
from colorflow.utils.seeding import stable_seed

FORMAT = 1
"""Part of every digest: raise it when records change their meaning."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class RecordedPage:
    """A page that can be trained on.

    Attributes:
        page: The page and its file.
        digest: SHA-256 of the file.
        pool: Ids of the pages its references were looked for in, in natural order.
        patches: The patches found, at most twelve; none without references.
    """

    page: Page
    digest: str
    pool: tuple[str, ...]
    patches: tuple[RetrievedPatch, ...]


@dataclass(frozen=True)
class RecordedChapter:
    """The record of one chapter.

    Attributes:
        name: Chapter name.
        key: Digest of everything the record depends on.
        pages: Usable pages, in natural order.
        skips: Pages that were left out.
    """

    name: str
    key: str
    pages: tuple[RecordedPage, ...]
    skips: tuple[Skip, ...]


@dataclass(frozen=True)
class Recorder:
    """Records chapters, or reads their records from the cache.

    Attributes:
        retriever: Chooses the patches; its name is part of every cache key.
        page_size: Page size (W, H) that pages are fitted to before patches are cut.
        cache_dir: Folder of the records; None keeps none.
        pool_size: Other pages a page's references are looked for in (paper: at least 20).
        seed: Seed of the pools and of random retrieval.
        allow_no_references: Whether the only page of a chapter is used, without references.
    """

    retriever: Retriever
    page_size: Size
    cache_dir: Path | None
    pool_size: int = 20
    seed: int = 0
    allow_no_references: bool = False
    page_filter: PageFilter = KEEP_ALL

    def __post_init__(self) -> None:
        """Check the pool size.

        Raises:
            ValueError: For a pool of no pages.
        """
        if self.pool_size < 1:
            raise ValueError(f"Recorder: expected pool_size of at least 1, got {self.pool_size}; the paper has 20")

    def record(self, chapter: Chapter, load: Callable[[Path], Image.Image] | None = None) -> RecordedChapter:
        """Return the chapter's record, from the cache where a valid one is there.

        Args:
            chapter: The chapter.
            load: Gives a page fitted to the page size, for callers that keep them; by default each is decoded here.

        Raises:
            OSError: For a page or cache file that may not be read or written.
        """
        digests = {page.name: digest_file(page.path) for page in chapter.pages}
        key = self._key(chapter, digests)
        load = load or (lambda path: fit_page(load_image(path), self.page_size))
        if self.cache_dir is None:
            return self._compute(chapter, key, digests, load)
        path = self.cache_dir / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', chapter.name)[:60]}-{key[:16]}.json"
        cached = _read(path, key, chapter)
        if cached is not None:
            return cached
        fresh = self._compute(chapter, key, digests, load)
        _write(fresh, path)
        return fresh

    def _key(self, chapter: Chapter, digests: dict[str, str]) -> str:
        return digest_json({"chapter": chapter.name, "pages": digests, **self.settings()})

    def settings(self) -> dict[str, Any]:
        """What records depend on beside the pages, as JSON values."""
        return {
            "format": FORMAT,
            "retriever": self.retriever.name,
            "page_size": list(self.page_size),
            "pool_size": self.pool_size,
            "seed": self.seed,
            "allow_no_references": self.allow_no_references,
            **({} if self.page_filter == KEEP_ALL else {"page_filter": asdict(self.page_filter)}),
        }

    def _compute(
        self, chapter: Chapter, key: str, digests: dict[str, str], load: Callable[[Path], Image.Image]
    ) -> RecordedChapter:
        """Decode and embed the chapter's pages once, then choose the patches of each."""
        pages, images, skips = self.page_filter(*_load(chapter, load))
        if len(pages) == 1 and not self.allow_no_references:
            reason = "no other usable page in its chapter to take references from (allow_no_references=true uses it)"
            skips.append(Skip(str(pages[0].path), "alone", reason))
            pages = []
        if len(pages) < 2:
            alone = tuple(RecordedPage(page, digests[page.name], (), ()) for page in pages)
            return RecordedChapter(chapter.name, key, alone, tuple(skips))
        indexed = self.retriever.index(reference_pool([page.id for page in pages], images), self.page_size)
        recorded: list[RecordedPage] = []
        for start in range(0, len(pages), PAGES_AT_ONCE):
            places = range(start, min(start + PAGES_AT_ONCE, len(pages)))
            pools = [_take(indexed, self._draw(pages[place], place, len(pages))) for place in places]
            seeds = [stable_seed(self.seed, "retrieval", pages[place].id) for place in places]
            chosen = self.retriever.select_each([_gray(images[place]) for place in places], pools, seeds=seeds)
            recorded += [
                RecordedPage(pages[place], digests[pages[place].name], pool.ids, patches)
                for place, pool, patches in zip(places, pools, chosen, strict=True)
            ]
        return RecordedChapter(chapter.name, key, tuple(recorded), tuple(skips))

    def _draw(self, page: Page, place: int, count: int) -> list[int]:
        """Draw the places of the pool's pages among the chapter's, never the page's own."""
        others = [other for other in range(count) if other != place]
        if len(others) <= self.pool_size:
            return others
        return sorted(random.Random(stable_seed(self.seed, "pool", page.id)).sample(others, self.pool_size))


def record_chapters(
    chapters: Sequence[Chapter], recorder: Recorder, found: SkipReport, max_skip_fraction: float = 0.05
) -> tuple[list[RecordedChapter], SkipReport]:
    """Record chapters with a progress bar, and account for what is left out.

    The list of skipped files is written to ``skipped.json`` in the cache folder and its counts are logged.

    Args:
        chapters: The chapters.
        recorder: Does the work.
        found: What listing the chapters already left out.
        max_skip_fraction: Largest fraction of damaged pages; above it the run stops as soon as it is known.

    Returns:
        The chapters that have usable pages, and the whole report.

    Raises:
        DataError: If too many pages are damaged, or none is usable.
    """
    assert recorder.cache_dir is not None, "the list of what is left out lies beside the records"
    recorded: list[RecordedChapter] = []
    report = found
    try:
        for chapter in track(chapters, "retrieving references", sys.stderr.isatty(), "chapter"):
            record = recorder.record(chapter)
            report = replace(report, skips=report.skips + record.skips)
            report.check(max_skip_fraction)
            if record.pages:
                recorded.append(record)
    finally:
        report.write(recorder.cache_dir / "skipped.json")
    if report.skips:
        _log.warning("left out %s; the list is in %s", report.counts(), recorder.cache_dir / "skipped.json")
    if not recorded:
        raise DataError(f"none of {report.pages} pages can be used: {report.counts()}; see allow_no_references")
    return recorded, report


def _load(chapter: Chapter, load: Callable[[Path], Image.Image]) -> tuple[list[Page], list[Image.Image], list[Skip]]:
    """Load the pages of a chapter; those that cannot be read become skips."""
    pages, images, skips = [], [], []
    for page in chapter.pages:
        try:
            images.append(load(page.path))
            pages.append(page)
        except ImageError as error:
            skips.append(Skip(str(page.path), "unreadable", error.reason))
    return pages, images, skips


def _take(pool: IndexedPool, places: list[int]) -> IndexedPool:
    """Return the part of an indexed pool that holds some of its pages; nothing is embedded again."""
    if not pool.ids:  # a retriever that uses no references indexes none
        return pool
    rows = [place * PATCHES_PER_PAGE + patch for place in places for patch in range(PATCHES_PER_PAGE)]
    ids = tuple(pool.ids[place] for place in places)
    return replace(
        pool,
        ids=ids,
        key=digest_json([pool.key, ids]),
        pages=tuple(pool.pages[place] for place in places),
        embeddings=None if pool.embeddings is None else pool.embeddings[rows],
    )


def _gray(page: Image.Image) -> Image.Image:
    """The query that patches are looked for with: luminance, as a user's black-and-white page would be."""
    return page.convert("L").convert("RGB")


def _write(record: RecordedChapter, path: Path) -> None:
    pages = [
        {"page": page.page.name, "digest": page.digest, "pool": page.pool, "patches": patches_to_json(page.patches)}
        for page in record.pages
    ]
    skips = [asdict(skip) | {"path": Path(skip.path).name} for skip in record.skips]
    write_json_atomic({"key": record.key, "chapter": record.name, "pages": pages, "skips": skips}, path)


def _read(path: Path, key: str, chapter: Chapter) -> RecordedChapter | None:
    """Return a cached record, or None where there is none of exactly this key."""
    try:
        content = json.loads(path.read_bytes())
        if content["key"] != key:
            return None
        files = {page.name: page for page in chapter.pages}
        pages = tuple(
            RecordedPage(files[item["page"]], item["digest"], tuple(item["pool"]), patches_from_json(item["patches"]))
            for item in content["pages"]
        )
        folder = chapter.pages[0].path.parent
        skips = tuple(Skip(**(item | {"path": str(folder / item["path"])})) for item in content["skips"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("%s is damaged (%s: %s); recording the chapter again", path, type(error).__name__, error)
        return None
    return RecordedChapter(chapter.name, key, pages, skips)


def patches_to_json(patches: Sequence[RetrievedPatch]) -> list[dict[str, Any]]:
    """Return patches as JSON values; a similarity that is not a number becomes null."""
    return [asdict(patch) | {"similarity": _finite(patch.similarity)} for patch in patches]


def patches_from_json(items: Sequence[dict[str, Any]]) -> tuple[RetrievedPatch, ...]:
    """Return the patches of ``patches_to_json``."""
    return tuple(
        RetrievedPatch(**(item | {"similarity": math.nan if item["similarity"] is None else item["similarity"]}))
        for item in items
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
