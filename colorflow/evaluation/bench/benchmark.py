"""The benchmark folder, read and checked (written by ``build_benchmark``).

``<root>/benchmark.json`` and ``<root>/<chapter>/{target,reference,<style>}/NNN.png``. A chapter
without a reference folder has leave-one-out pools: the other pages of the chapter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from colorflow.methods import References
from colorflow.retrieval.retriever import reference_pool
from colorflow.schema import ReferencePool
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import IMAGE_SUFFIXES, load_image, natural_key, read_indexed

PROTOCOL_VERSION = 1
"""Version of the folder's form and of the rules that numbers on it are made by."""

INDEX_FILE = "benchmark.json"

_LISTED = 20


class BenchmarkError(ValueError):
    """A benchmark folder that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class BenchmarkPage:
    """One page to colour.

    Attributes:
        chapter: Chapter name.
        name: File stem, e.g. ``007``.
        index: Place among all pages of the benchmark, chapters and pages in natural order.
    """

    chapter: str
    name: str
    index: int

    @property
    def id(self) -> str:
        """``<chapter>/<name>``, for messages."""
        return f"{self.chapter}/{self.name}"


@dataclass(frozen=True)
class BenchmarkChapter:
    """One chapter: its pages, and its reference pages where it has a folder of them.

    Attributes:
        name: Folder name.
        pages: Stems of the targets, sorted.
        references: Stems of the reference pages; empty for leave-one-out.
    """

    name: str
    pages: tuple[str, ...]
    references: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A benchmark folder.

    Attributes:
        root: Where it is.
        name: Its name in tables.
        digest: SHA-256 of ``benchmark.json``, hence of every file's digest.
        styles: Input styles it holds.
        chapters: In natural order.
        files: SHA-256 of every file by its path below ``root`` (POSIX).
    """

    root: Path
    name: str
    digest: str
    styles: tuple[str, ...]
    chapters: tuple[BenchmarkChapter, ...]
    files: Mapping[str, str]

    @cached_property
    def pages(self) -> tuple[BenchmarkPage, ...]:
        """All pages in benchmark order; the index is what seeds are counted by."""
        ids = [(chapter.name, page) for chapter in self.chapters for page in chapter.pages]
        return tuple(BenchmarkPage(chapter, page, index) for index, (chapter, page) in enumerate(ids))

    @property
    def shape(self) -> dict[str, Any]:
        """How many chapters, and which numbers of pages and of references they have (0: leave-one-out)."""
        return {
            "chapters": len(self.chapters),
            "pages": sorted({len(chapter.pages) for chapter in self.chapters}),
            "references": sorted({len(chapter.references) for chapter in self.chapters}),
        }

    def target_key(self, page: BenchmarkPage) -> str:
        """Path of the page's ground truth below ``root``."""
        return f"{page.chapter}/target/{page.name}.png"

    def target(self, page: BenchmarkPage) -> Image.Image:
        """The ground truth, RGB, native size."""
        return load_image(self.root / self.target_key(page))

    def parts(self, page: BenchmarkPage) -> Image.Image | None:
        """Whose part is where (`colorflow.toon.ToonPage.parts`), of generated pages."""
        key = f"{page.chapter}/parts/{page.name}.png"
        return read_indexed(self.root / key) if key in self.files else None

    def input(self, page: BenchmarkPage, style: str) -> Image.Image:
        """The black-and-white page, RGB with equal channels, native size."""
        self.check_style(style)
        return load_image(self.root / f"{page.chapter}/{style}/{page.name}.png")

    def references(self, page: BenchmarkPage, source: References = "own") -> ReferencePool:
        """Return the pool that a method may look at.

        Args:
            page: The page to colour, never part of the pool.
            source: ``own``: the chapter's reference pages (or its other pages); ``other_chapter``: the
                whole pool of the chapter after it, the first after the last; ``none``: an empty pool.

        Raises:
            BenchmarkError: For ``other_chapter`` with a single chapter.
        """
        return _pool(self.root, tuple((key, self.files[key]) for key in self.reference_keys(page, source)))

    def reference_keys(self, page: BenchmarkPage, source: References = "own") -> tuple[str, ...]:
        """Paths below ``root`` of the pages that ``references`` returns."""
        self.check_references(source)
        if source == "none":
            return ()
        place = next(i for i, chapter in enumerate(self.chapters) if chapter.name == page.chapter)
        chapter = self.chapters[(place + (source == "other_chapter")) % len(self.chapters)]
        if chapter.references:
            return tuple(f"{chapter.name}/reference/{name}.png" for name in chapter.references)
        own = self.target_key(page)
        keys = (f"{chapter.name}/target/{name}.png" for name in chapter.pages)
        return tuple(key for key in keys if key != own)

    def check_style(self, style: str) -> None:
        """Raise BenchmarkError for a style that the folder does not hold."""
        if style not in self.styles:
            raise BenchmarkError(
                f"benchmark {self.root}: expected a style of {', '.join(self.styles)}, got {style!r}; "
                "choose one of them or build the benchmark with it"
            )

    def check_references(self, source: References) -> None:
        """Raise BenchmarkError for an unknown kind of pool, or one that this benchmark cannot give."""
        if source not in get_args(References):
            raise BenchmarkError(f"references: expected one of {', '.join(get_args(References))}, got {source!r}")
        if source == "other_chapter" and len(self.chapters) < 2:
            raise BenchmarkError(
                f"benchmark {self.root}: references of another chapter need at least two chapters, got one; "
                "leave that row out or add a chapter"
            )

    def verify(self) -> None:
        """Compare every file with its digest.

        Raises:
            BenchmarkError: With a table of missing, changed and extra pictures.
        """
        damage = _find_damage(self.root, self.files)
        if not damage:
            return
        lines = [f"  {kind:<8} {key}" for kind, key in damage[:_LISTED]]
        if len(damage) > _LISTED:
            lines.append(f"  ... and {len(damage) - _LISTED} more")
        raise BenchmarkError(
            f"benchmark {self.root}: {len(damage)} of {len(self.files)} files are not as {INDEX_FILE} says:\n"
            + "\n".join(lines)
            + "\nRestore them (remove the extra ones), or build the benchmark again with data/build_benchmark.py."
        )


def read_benchmark(root: str | Path, *, verify: bool = True) -> Benchmark:
    """Open a benchmark folder.

    Args:
        root: The folder with ``benchmark.json``.
        verify: Compare every file with its digest (some seconds a gigabyte).

    Raises:
        BenchmarkError: For a folder without a readable index, of another protocol version, without
            pages, or with damaged files.
    """
    root = Path(root)
    path = root / INDEX_FILE
    if not path.is_file():
        raise BenchmarkError(
            f"{root}: expected a benchmark folder with {INDEX_FILE}, found none; check benchmark.root, or make one "
            "from chapter folders: python data/build_benchmark.py source=DIR output=DIR"
        )
    benchmark = _parse(root, _read_index(path), digest_file(path))
    if verify:
        benchmark.verify()
    return benchmark


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        version = index["protocol_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path}: expected a benchmark index, got {type(error).__name__}: {error}") from error
    if version != PROTOCOL_VERSION:
        raise BenchmarkError(
            f"{path}: expected protocol version {PROTOCOL_VERSION}, got {version!r}; build the benchmark again with "
            "this release, or use the release that made it"
        )
    return dict(index)


def _parse(root: Path, index: dict[str, Any], digest: str) -> Benchmark:
    try:
        chapters = [
            BenchmarkChapter(item["name"], _sorted(item["pages"]), _sorted(item["references"]))
            for item in index["chapters"]
        ]
        files = {key: item["sha256"] for key, item in index["files"].items()}
        name, styles = str(index["name"]), tuple(index["styles"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BenchmarkError(f"{root / INDEX_FILE}: not of the documented form ({error!r}); build it again") from error
    chapters.sort(key=lambda chapter: natural_key(chapter.name))
    benchmark = Benchmark(root, name, digest, styles, tuple(chapters), files)
    _check_pages(benchmark)
    return benchmark


def _sorted(names: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(names, key=natural_key))


def _check_pages(benchmark: Benchmark) -> None:
    """Every chapter has pages, and every page its files in the index."""
    empty = [chapter.name for chapter in benchmark.chapters if not chapter.pages]
    kinds = ("target", *benchmark.styles)
    keys = [f"{page.chapter}/{kind}/{page.name}.png" for page in benchmark.pages for kind in kinds]
    absent = [key for key in keys if key not in benchmark.files]
    if empty or absent or not benchmark.pages:
        what = f"chapters without pages: {empty}" if empty else f"pages without files: {absent[:5]}"
        raise BenchmarkError(
            f"{benchmark.root / INDEX_FILE}: expected pages in every chapter, got {what}; build it again"
        )


def _find_damage(root: Path, files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (kind, path) of everything that differs, in natural order of paths."""
    paths = [path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    keys = {path.relative_to(root).as_posix() for path in paths}
    visible = {key for key in keys if not any(part.startswith(".") for part in key.split("/"))}
    damage = [("extra", key) for key in visible - set(files)]
    for key, digest in files.items():
        if not (root / key).is_file():
            damage.append(("missing", key))
        elif digest_file(root / key) != digest:
            damage.append(("changed", key))
    return sorted(damage, key=lambda item: natural_key(item[1]))


@lru_cache(maxsize=2)
def _pool(root: Path, keys: tuple[tuple[str, str], ...]) -> ReferencePool:
    """Load a pool; ``keys`` are (path, digest), so that a changed file is never served from the cache."""
    pictures = [_picture(root / key, digest) for key, digest in keys]
    return reference_pool([key.removesuffix(".png") for key, _ in keys], pictures)


@lru_cache(maxsize=64)
def _picture(path: Path, digest: str) -> Image.Image:
    """Decode a reference page once for all leave-one-out pools of its chapter."""
    return load_image(path)
