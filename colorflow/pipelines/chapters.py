"""Colour whole chapters: in order, to be stopped and gone on with at any page, no page fatal.

``<output>/<chapter>/NAME.png`` for every page, ``manifest.jsonl`` (what each page was made from) and
``contact_sheet.png`` beside them. A page is kept where its PNG and its input have the digests that the
manifest tells, so that a second run colours only what is missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from colorflow.data.chapters import DataError, read_chapters, read_pages
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.provenance import provenance
from colorflow.retrieval import reference_pool
from colorflow.schema import Chapter, Page, ReferencePool, RetrievedPatch
from colorflow.utils.color import is_colored
from colorflow.utils.files import append_jsonl, read_jsonl, write_text_atomic
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import load_image, save_png
from colorflow.utils.log import get_logger
from colorflow.utils.progress import track
from colorflow.utils.seeding import stable_seed
from colorflow.utils.strips import StripCell, draw_strip, mosaic

MANIFEST = "manifest.jsonl"
SHEET = "contact_sheet.png"

logger = get_logger(__name__)


@dataclass(frozen=True)
class ChapterJob:
    """One chapter to colour, and the pages it may look at."""

    chapter: Chapter
    references: tuple[Page, ...]


@dataclass(frozen=True)
class ColorizeOptions:
    """How chapters are coloured.

    Attributes:
        seed: With chapter and page name it fixes a page's noise.
        sequential: A coloured page joins the pool of the pages after it, so that a long chapter stays consistent.
        use_colored_pages: Input pages that are in colour already join the pool.
        overwrite: Colour again what is there.
        fingerprint: What else the result hangs on (weights, sampling): pages made with another one are reported.
        contact_sheet: Draw one a chapter.
        progress: Show progress bars.
    """

    seed: int = 0
    sequential: bool = False
    use_colored_pages: bool = True
    overwrite: bool = False
    fingerprint: str = ""
    contact_sheet: bool = True
    progress: bool = True


@dataclass
class ColorizeReport:
    """What was done, by page id; failures with their reason."""

    colored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    passed_through: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def find_jobs(pages: str | Path, references: str | Path | None) -> list[ChapterJob]:
    """Pair chapters with their references.

    Args:
        pages: A folder of pictures (one chapter), or of chapter folders.
        references: A folder of pictures, for every chapter; or one with a folder of each chapter's name; or None.

    Raises:
        DataError: For folders without pictures, and chapters without a reference folder where others have one.
    """
    alone = _pictures(Path(pages))
    chapters = [Chapter(Path(pages).resolve().name, alone)] if alone else read_chapters(pages)[0]
    if references is None:
        return [ChapterJob(chapter, ()) for chapter in chapters]
    if shared := _pictures(Path(references)):
        return [ChapterJob(chapter, shared) for chapter in chapters]
    pools = {chapter.name: chapter.pages for chapter in read_chapters(references)[0]}
    if absent := [chapter.name for chapter in chapters if chapter.name not in pools]:
        raise DataError(
            f"{references}: expected pictures, or a folder for each chapter; none for {', '.join(absent[:5])} "
            f"(there are {', '.join(list(pools)[:5])}); put the pages that all chapters share directly into it"
        )
    return [ChapterJob(chapter, pools[chapter.name]) for chapter in chapters]


def colorize_chapters(
    pipeline: ColorFlowPipeline, jobs: Sequence[ChapterJob], output: str | Path, options: ColorizeOptions
) -> ColorizeReport:
    """Colour every page of every chapter that is not there yet.

    Args:
        pipeline: Colours a page.
        jobs: Chapters and references.
        output: Folder of the results.
        options: See `ColorizeOptions`.

    Returns:
        What was done. Pages that failed are in it, and left for the next run.
    """
    report = ColorizeReport()
    for job in jobs:
        _Run(pipeline, job, Path(output) / job.chapter.name, options, report).go()
    return report


class _Run:
    """The colouring of one chapter."""

    def __init__(
        self,
        pipeline: ColorFlowPipeline,
        job: ChapterJob,
        folder: Path,
        options: ColorizeOptions,
        report: ColorizeReport,
    ) -> None:
        self.pipeline, self.job, self.folder, self.options, self.report = pipeline, job, folder, options, report
        self.pool: dict[str, Image.Image] = {}
        self._made: ReferencePool | None = None

    def go(self) -> None:
        """Colour what is missing, in reading order, then draw the sheet."""
        records = self._resume()
        for page in track(self.job.references, f"{self.job.chapter.name}: references", self.options.progress):
            self._load_reference(page)
        inputs = dict(self._inputs())
        for page in track(self.job.chapter.pages, self.job.chapter.name, self.options.progress):
            if page.name not in inputs:
                continue
            try:
                self._page(page, inputs[page.name], records.get(page.name))
            except Exception as error:
                self._fail(page.id, error)
        if self.options.contact_sheet:
            self._sheet()

    def _inputs(self) -> Iterator[tuple[str, bool]]:
        """Name of every readable page and whether it is in colour; coloured ones join the pool before any is made."""
        for page in self.job.chapter.pages:
            try:
                image = load_image(page.path)
            except (OSError, ValueError) as error:
                self._fail(page.id, error)
                continue
            colored = is_colored(image)
            if colored and self.options.use_colored_pages:
                self.pool[page.id] = image
            yield page.name, colored

    def _page(self, page: Page, colored: bool, record: dict[str, Any] | None) -> None:
        target = self.folder / f"{page.name}.png"
        if record is not None:
            self.report.kept.append(page.id)
        elif colored:
            self._write(page, load_image(page.path), target, {"kind": "passed_through"})
            self.report.passed_through.append(page.id)
        else:
            seed = stable_seed(self.options.seed, page.chapter, page.name)
            start = time.perf_counter()
            output = self.pipeline(load_image(page.path), self._pool(), seed=seed)
            made = {
                "kind": "colored",
                "seed": seed,
                "seconds": round(time.perf_counter() - start, 3),
                "references": _used(output.retrieved),
            }
            self._write(page, output.image, target, made)
            self.report.colored.append(page.id)
        if self.options.sequential and not colored:
            self.pool[f"{page.id} (coloured)"] = load_image(target)

    def _write(self, page: Page, image: Image.Image, target: Path, made: dict[str, Any]) -> None:
        save_png(image, target, provenance() if made["kind"] == "colored" else None)
        record = {"page": page.name, **made, "input_sha256": digest_file(page.path), "sha256": digest_file(target)}
        append_jsonl(record | {"size": list(image.size), "settings": self._settings()}, self.folder / MANIFEST)

    def _resume(self) -> dict[str, dict[str, Any]]:
        """Records of the pages that are there and whole; the manifest is reduced to them."""
        path = self.folder / MANIFEST
        found = {record["page"]: record for record in read_jsonl(path)} if path.is_file() else {}
        inputs = {page.name: page.path for page in self.job.chapter.pages}
        whole = {
            name: record
            for name, record in found.items()
            if not self.options.overwrite and name in inputs and self._is_whole(record, inputs[name])
        }
        if path.is_file():
            write_text_atomic("".join(json.dumps(record) + "\n" for record in whole.values()), path)
        if other := [name for name, record in whole.items() if record["settings"] != self._settings()]:
            logger.warning(
                "%s: %d pages made with other settings are kept; overwrite=true colours them again", path, len(other)
            )
        return whole

    def _is_whole(self, record: dict[str, Any], source: Path) -> bool:
        target = self.folder / f"{record['page']}.png"
        return (
            target.is_file()
            and digest_file(target) == record["sha256"]
            and digest_file(source) == record["input_sha256"]
        )

    def _settings(self) -> dict[str, Any]:
        return {"seed": self.options.seed, "sequential": self.options.sequential, "pipeline": self.options.fingerprint}

    def _load_reference(self, page: Page) -> None:
        try:
            self.pool[f"reference/{page.id}"] = load_image(page.path)
        except (OSError, ValueError) as error:
            self._fail(f"reference {page.id}", error)

    def _pool(self) -> ReferencePool:
        """The pool as it is now; made again, with its digests, only when a page has joined."""
        if self._made is None or len(self._made.ids) != len(self.pool):
            self._made = reference_pool(list(self.pool), list(self.pool.values()))
        return self._made

    def _fail(self, name: str, error: Exception) -> None:
        self.report.failures[name] = f"{type(error).__name__}: {error}"
        logger.warning("%s failed and is left out: %s", name, self.report.failures[name])

    def _sheet(self) -> None:
        """Input, the reference pages that were used most, and result of every page that is there."""
        path = self.folder / MANIFEST
        records = {record["page"]: record for record in read_jsonl(path)} if path.is_file() else {}
        rows = []
        for page in self.job.chapter.pages:
            if page.name in records:
                image = load_image(page.path)
                names = [used["reference"] for used in records[page.name].get("references", ())]
                pages = [self.pool[name] for name in dict.fromkeys(names) if name in self.pool]
                cells = [StripCell("input", "Input", image, page.id)]
                used = mosaic(pages, image.size)
                cells.append(StripCell("references", "References used", used, f"{len(pages)} pages"))
                kind = "in colour already" if records[page.name]["kind"] == "passed_through" else ""
                rows.append([*cells, StripCell("result", "Result", load_image(self.folder / f"{page.name}.png"), kind)])
        if rows:
            save_png(draw_strip(rows), self.folder / SHEET, provenance())


def _used(retrieved: Sequence[RetrievedPatch]) -> list[dict[str, Any]]:
    """Patches as JSON, best first; a similarity that was not measured is null."""
    patches = [asdict(patch) for patch in retrieved]
    for patch in patches:
        measured = patch["similarity"] == patch["similarity"]  # NaN is not
        patch["similarity"] = round(patch["similarity"], 5) if measured else None
    return sorted(patches, key=lambda patch: -(patch["similarity"] or 0.0))


def _pictures(folder: Path) -> tuple[Page, ...]:
    """The pictures directly in a folder; none where it holds chapter folders, or is missing."""
    return read_pages(folder)[0] if folder.is_dir() else ()
