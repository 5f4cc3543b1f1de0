"""Making a benchmark folder of chapter folders: a seeded choice of pages, inputs, digests.

Pages are stored at their native size as PNG. The choice depends on seed, chapter and page names
alone: pages are ranked by a hash of them, the first are coloured, the next are references.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from colorflow.data.chapters import Skip, SkipReport, read_chapters
from colorflow.evaluation.bench.benchmark import INDEX_FILE, PROTOCOL_VERSION, Benchmark, BenchmarkError, read_benchmark
from colorflow.schema import Chapter, Page, Style
from colorflow.styles.gray import GrayStyle
from colorflow.utils.files import atomic_folder, write_json_atomic
from colorflow.utils.hashing import digest_file, digest_json
from colorflow.utils.images import ImageError, load_image, read_indexed, save_png
from colorflow.utils.log import get_logger
from colorflow.utils.progress import track
from colorflow.utils.seeding import generator, stable_seed

MIN_PAGES = 2
"""Fewest readable pages of a chapter: one to colour, one to look at."""

logger = get_logger(__name__)


@dataclass(frozen=True)
class Selection:
    """What is taken of one chapter; no references means leave-one-out pools."""

    chapter: str
    pages: tuple[Page, ...]
    references: tuple[Page, ...]


def build_benchmark(
    source: str | Path,
    output: str | Path,
    *,
    chapters: Sequence[str] | None = None,
    references: int = 40,
    pages: int = 50,
    seed: int = 0,
    name: str | None = None,
    styles: Sequence[Style] = (),
    parts: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Benchmark:
    """Write a benchmark folder, whole or not at all.

    A chapter with at least ``pages + references`` readable pages gives that many of each; a smaller
    one gives at most ``pages`` pages, each with the others as its references (leave-one-out).
    Where ``output`` already holds the benchmark of the same pages and options, it is checked and kept.

    Args:
        source: Folder of chapter folders.
        output: Folder to make.
        chapters: Names of the chapters to take; None takes all.
        references: Reference pages a chapter (40: the paper's section 4.1).
        pages: Pages to colour a chapter (50: the paper's section 4.1).
        seed: Seed of the choice.
        name: Name in tables, by default the output folder's.
        styles: Input styles beside gray, which is always made; what is random in them is drawn once, by page.
        parts: Folder of the same names with whose part is where (``colorflow.toon.write_chapters(parts=True)``).
        overwrite: Replace what is at ``output``.
        progress: Show a progress bar.

    Returns:
        The benchmark, opened.

    Raises:
        BenchmarkError: For counts below one, styles of one name, chapters that are all too small, or an output in the
            way.
        DataError: For a source without (these) chapters or with more than 5 % unreadable pages.
    """
    if pages < 1 or references < 1:
        raise BenchmarkError(f"expected at least one page and one reference, got pages={pages} references={references}")
    all_styles = (GrayStyle(), *(style for style in styles if style.name != GrayStyle.name))
    _check_names(all_styles)
    readable, report = _readable(*read_chapters(source, chapters), progress=progress)
    selected = select_pages(readable, references=references, pages=pages, seed=seed)
    output = Path(output)
    head = {
        "name": name or output.resolve().name,
        "protocol_version": PROTOCOL_VERSION,
        "styles": [style.name for style in all_styles],
        "style_settings": {style.name: style.describe() for style in all_styles},
        "recipe": _recipe(selected, references=references, pages=pages, seed=seed),
        "skipped": [asdict(skip) | {"path": _relative(skip.path, source)} for skip in report.skips],
    }
    if not overwrite and output.exists() and any(output.iterdir()):
        return _existing(output, head)
    _write(selected, all_styles, output, head, None if parts is None else Path(parts), seed=seed, progress=progress)
    return read_benchmark(output)


def select_pages(
    chapters: Sequence[Chapter], *, references: int = 40, pages: int = 50, seed: int = 0
) -> tuple[Selection, ...]:
    """Choose pages and references of each chapter; chapters of a single page are left out.

    Raises:
        BenchmarkError: Where no chapter has two pages.
    """
    selected = [_select(chapter, references, pages, seed) for chapter in chapters if len(chapter.pages) >= MIN_PAGES]
    if not selected:
        raise BenchmarkError(
            f"expected a chapter with at least {MIN_PAGES} readable pages, got {len(chapters)} chapters with fewer; "
            "a page needs another one of its chapter as reference"
        )
    return tuple(selected)


def _select(chapter: Chapter, references: int, pages: int, seed: int) -> Selection:
    ranked = sorted(chapter.pages, key=lambda page: (stable_seed(seed, chapter.name, page.name), page.name))
    chosen, rest = set(ranked[:pages]), set(ranked[pages : pages + references])
    if len(chapter.pages) < pages + references:
        rest = set()
    in_order = [tuple(page for page in chapter.pages if page in group) for group in (chosen, rest)]
    return Selection(chapter.name, in_order[0], in_order[1])


def _check_names(styles: Sequence[Style]) -> None:
    """Two styles of one name would be written over each other."""
    names = [style.name for style in styles]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BenchmarkError(
            f"styles: expected one of each name, got {', '.join(names)}; leave one {twice[0]} out (it also takes the "
            "place of screenstyle where style.weights names no folder)"
        )


def _readable(chapters: Sequence[Chapter], report: SkipReport, *, progress: bool) -> tuple[list[Chapter], SkipReport]:
    """Leave unreadable pages out, with a list, before the choice is made."""
    skips: list[Skip] = list(report.skips)
    kept = []
    for chapter in track(chapters, "reading chapters", progress):
        pages = []
        for page in chapter.pages:
            try:
                load_image(page.path)
                pages.append(page)
            except ImageError as error:
                logger.warning("left out: %s", error)
                skips.append(Skip(str(page.path), "unreadable", error.reason))
        if len(pages) < MIN_PAGES:
            skips.append(Skip(str(chapter.name), "alone", f"{len(pages)} readable pages, at least {MIN_PAGES} needed"))
        kept.append(Chapter(chapter.name, tuple(pages)))
    full = SkipReport(report.pages, tuple(skips))
    full.check(max_fraction=0.05)
    return kept, full


def _recipe(selected: Sequence[Selection], **options: int) -> dict[str, Any]:
    """What makes two benchmarks the same: options and the bytes of the chosen files."""
    files = [(page.id, digest_file(page.path)) for item in selected for page in (*item.pages, *item.references)]
    return {**options, "sources_sha256": digest_json(files)}


def _existing(output: Path, head: dict[str, Any]) -> Benchmark:
    """Keep a benchmark that is the one asked for; anything else is in the way."""
    remedy = "choose another output, or set overwrite=true to replace it"
    if not (output / INDEX_FILE).is_file():
        raise BenchmarkError(f"{output}: expected an empty or new folder, found other files; {remedy}")
    index = json.loads((output / INDEX_FILE).read_text(encoding="utf-8"))
    different = [key for key in head if index.get(key) != head[key]]
    if different:
        raise BenchmarkError(f"{output}: holds another benchmark (it differs in {', '.join(different)}); {remedy}")
    benchmark = read_benchmark(output)
    logger.info("benchmark %s is already there: %d pages, all digests right", output, len(benchmark.pages))
    return benchmark


def _write(
    selected: Sequence[Selection],
    styles: Sequence[Style],
    output: Path,
    head: dict[str, Any],
    parts: Path | None,
    *,
    seed: int,
    progress: bool,
) -> None:
    """Write everything beside ``output``, then move it there."""
    chapters = [
        {"name": item.chapter, "pool": "reference" if item.references else "leave_one_out"}
        | {"pages": _names(item.pages), "references": _names(item.references)}
        for item in selected
    ]
    with atomic_folder(output) as fresh:
        files: dict[str, Any] = {}
        for item in track(selected, "writing benchmark", progress):
            files |= _write_chapter(item, styles, parts, fresh, seed)
        write_json_atomic(head | {"chapters": chapters, "files": files}, fresh / INDEX_FILE)


def _write_chapter(
    item: Selection, styles: Sequence[Style], parts: Path | None, root: Path, seed: int
) -> dict[str, Any]:
    """Write one chapter's pictures and return digest and size of each by its path below ``root``."""
    files: dict[str, Any] = {}
    for number, page in enumerate(item.pages):
        color = load_image(page.path)
        images = {"target": color}
        for style in styles:
            images[style.name] = style(color, generator(seed, item.chapter, page.name, style.name))
        if parts is not None:
            images["parts"] = read_indexed(parts / item.chapter / page.path.name)
        for kind, image in images.items():
            files |= _write_picture(image, root, f"{item.chapter}/{kind}/{number:03d}.png")
    for number, page in enumerate(item.references):
        files |= _write_picture(load_image(page.path), root, f"{item.chapter}/reference/{number:03d}.png")
    return files


def _write_picture(image: Image.Image, root: Path, key: str) -> dict[str, Any]:
    save_png(image, root / key)
    return {key: {"sha256": digest_file(root / key), "size": list(image.size)}}


def _names(pages: Sequence[Page]) -> dict[str, str]:
    """Number in the benchmark -> file in the source."""
    return {f"{number:03d}": page.path.name for number, page in enumerate(pages)}


def _relative(path: str, source: str | Path) -> str:
    """A skipped path without the machine's folders."""
    return Path(path).relative_to(source).as_posix() if Path(path).is_relative_to(source) else path
