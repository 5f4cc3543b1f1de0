"""Colour whole chapters: in order, to be stopped and gone on with at any page, no page fatal.

``<output>/<chapter>/NAME.png`` for every page, ``manifest.jsonl`` (what each page was made from) and
``contact_sheet.png`` beside them. A page is kept where its PNG and its input have the digests that the
manifest tells, so that a second run colours only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from colorflow.colorize.chapter_folder import ChapterFolder
from colorflow.colorize.chapter_report import ColorizeReport
from colorflow.colorize.chapter_run import ChapterJob, ChapterRun, ColorizeOptions
from colorflow.data.chapters import DataError, read_chapters, read_pages
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.schema import Chapter, Page
from colorflow.utils.log import get_logger

logger = get_logger(__name__)


def find_jobs(pages: str | Path, references: str | Path | None) -> list[ChapterJob]:
    """Pair chapters with their references.

    Args:
        pages: A folder of pictures (one chapter), or of chapter folders.
        references: A folder of pictures, for every chapter; or one with a folder of each chapter's name; or None.

    Raises:
        DataError: For folders that are missing or without pictures, and chapters without a reference folder where
            others have one.
    """
    chapters = _chapters(Path(pages), "pages")
    if references is None:
        return [ChapterJob(chapter, ()) for chapter in chapters]
    if shared := _pictures(Path(references), "references"):
        return [ChapterJob(chapter, shared) for chapter in chapters]
    pools = {chapter.name: chapter.pages for chapter in _chapters(Path(references), "references")}
    if absent := [chapter.name for chapter in chapters if chapter.name not in pools]:
        raise DataError(
            f"{references}: expected pictures, or a folder for each chapter; none for {', '.join(absent[:5])} "
            f"(there are {', '.join(list(pools)[:5])}); put the pages that all chapters share directly into it"
        )
    return [ChapterJob(chapter, pools[chapter.name]) for chapter in chapters]


def colorize_chapters(
    load: Callable[[], ColorFlowPipeline], jobs: Sequence[ChapterJob], output: str | Path, options: ColorizeOptions
) -> ColorizeReport:
    """Colour every page of every chapter that is not there yet.

    Args:
        load: Loads the pipeline; called once, and not at all where no page is to be coloured.
        jobs: Chapters and references.
        output: Folder of the results.
        options: See `ColorizeOptions`.

    Returns:
        What was done. Pages that failed are in it, and left for the next run.

    Raises:
        DataError: If results would be written over the input, no reference of a chapter can be read, or attention
            maps are asked of pages that are not there.
        TooManyFailuresError: If more pages fail than ``options.max_failures`` allows.
    """
    _check_output(jobs, Path(output))
    _check_attention_pages(jobs, options)
    report = ColorizeReport(sum(len(job.chapter.pages) for job in jobs), options.max_failures)
    shared = cache(load)
    for job in jobs:
        folder = ChapterFolder(Path(output) / job.chapter.name, options.settings())
        ChapterRun(shared, job, folder, options, report).go()
    return report


def _check_output(jobs: Sequence[ChapterJob], output: Path) -> None:
    for job in jobs:
        target = (output / job.chapter.name).resolve()
        if any(page.path.resolve().parent == target for page in (*job.chapter.pages, *job.references)):
            raise DataError(
                f"{output}: chapter {job.chapter.name} would be written over its own input in {target}; choose another "
                "output"
            )


def _check_attention_pages(jobs: Sequence[ChapterJob], options: ColorizeOptions) -> None:
    wanted = () if options.attention is None else options.attention.pages or ()
    known = {name for job in jobs for page in job.chapter.pages for name in (page.id, page.name)}
    if unknown := [name for name in wanted if name not in known]:
        raise DataError(f"attention pages: expected names of pages or chapter/name, got {', '.join(unknown[:5])}")


def _chapters(folder: Path, key: str) -> list[Chapter]:
    """The chapters of a folder; pictures directly in it are one chapter."""
    if alone := _pictures(folder, key):
        return [Chapter(folder.resolve().name, alone)]
    chapters, skipped = read_chapters(folder)
    for skip in skipped.skips:
        logger.warning("%s is left out: %s", skip.path, skip.reason)
    return chapters


def _pictures(folder: Path, key: str) -> tuple[Page, ...]:
    """The pictures directly in a folder; none where it holds chapter folders."""
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder, found none; set {key}=DIR")
    pages, duplicates = read_pages(folder)
    for skip in duplicates:
        logger.warning("%s is left out: %s", skip.path, skip.reason)
    return tuple(Page(folder.resolve().name, page.name, page.path) for page in pages)
