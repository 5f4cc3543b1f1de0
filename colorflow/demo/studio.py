"""What the demo does, without a page around it: take uploads, look references up, colour a chapter."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from colorflow.colorize.chapter_folder import ChapterFolder
from colorflow.colorize.chapter_report import ColorizeReport
from colorflow.colorize.chapter_run import ChapterJob, ChapterRun, ColorizeOptions
from colorflow.colorize.page_painting import Painted
from colorflow.demo.limits import Limits
from colorflow.demo.uploads import CHAPTER, Uploads, read_uploads
from colorflow.demo.versions import Session, Version
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.output import LookUp
from colorflow.schema import Chapter, Page

OnStep = Callable[[int, int, Page, int, int], None]
"""Called with a page's number from 1, how many there are, the page, its steps that are done, and their number."""

_Done = tuple[Page, Painted | None]


class Stopped(KeyboardInterrupt):
    """The visitor pressed Stop; like Ctrl-C it passes through what forgives a page's errors."""


class Studio:
    """Colours for every visitor with one pipeline, one page at a time.

    Args:
        pipeline: Colours.
        limits: Of uploads.
        folder: Everything is written under it.
    """

    def __init__(self, pipeline: ColorFlowPipeline, limits: Limits, folder: Path) -> None:
        self.pipeline, self.limits, self.folder = pipeline, limits, folder
        self._alone = threading.Lock()

    def take_pages(self, session: Session, files: Sequence[str | Path]) -> Uploads:
        """Take the pages to colour; a former set is forgotten."""
        session.pages = read_uploads(files, self.limits.pages, self.limits)
        return session.pages

    def take_references(self, session: Session, files: Sequence[str | Path]) -> Uploads:
        """Take the pages in colour; a former set is forgotten."""
        session.references = read_uploads(files, self.limits.references, self.limits)
        return session.references

    def look_up(self, session: Session, name: str | None, chosen: Sequence[str], seed: int) -> list[LookUp]:
        """What the model would be shown for a page, one a piece of a strip.

        Args:
            session: Has the uploads.
            name: Name of the page.
            chosen: Names of the references to look among.
            seed: Of the version.

        Raises:
            ValueError: Without such a page.
        """
        job = _job(session, chosen)
        page = next((page for page in job.chapter.pages if page.name == name), None)
        if page is None:
            raise ValueError("Upload a page to colour first.")
        folder = ChapterFolder(self.folder / CHAPTER, {})  # nothing is written
        run = ChapterRun(lambda: self.pipeline, job, folder, _options(seed), _report(job))
        with self._alone:
            return run.look_up(page)

    def color(self, session: Session, chosen: Sequence[str], seed: int, watch: OnStep) -> Iterator[Version]:
        """Colour the chapter as a new version.

        Args:
            session: Has the uploads, and takes the version.
            chosen: Names of the references to use.
            seed: Of all noise, with each page's name.
            watch: Called with every step.

        Yields:
            The version, when it begins and after each page.

        Raises:
            ValueError: Without a page.
        """
        job = _job(session, chosen)
        if not job.chapter.pages:
            raise ValueError("Upload a page to colour first.")
        session.stop = False
        version = self._version(session, job, seed)
        numbers = {page: number for number, page in enumerate(job.chapter.pages, 1)}

        def step(page: Page, done: int, total: int) -> None:
            if session.stop:
                raise Stopped
            watch(numbers[page], len(numbers), page, done, total)

        run = ChapterRun(lambda: self.pipeline, job, version.folder, _options(seed), version.report, step)
        pages = run.pages()
        yield version
        try:
            while (done := self._next(pages, session)) is not None:
                page, painted = done
                if painted is not None:
                    version.shown[page.name] = list(painted.shown)
                yield version
        except Stopped:
            version.stopped = True
            yield version

    def _next(self, pages: Iterator[_Done], session: Session) -> _Done | None:
        """The next page, while nobody else colours one."""
        with self._alone:
            if session.stop:
                raise Stopped
            return next(pages, None)

    def _version(self, session: Session, job: ChapterJob, seed: int) -> Version:
        """A new version in a folder of its own."""
        if session.folder is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            session.folder = Path(tempfile.mkdtemp(prefix="visitor-", dir=self.folder))
        session.count += 1
        folder = ChapterFolder(session.folder / str(session.count) / CHAPTER, _options(seed).settings())
        names = tuple(page.name for page in job.references)
        version = Version(session.count, seed, names, job.chapter.pages, folder, _report(job))
        session.keep(version)
        return version


def _job(session: Session, chosen: Sequence[str]) -> ChapterJob:
    references = tuple(item.page for item in session.references.accepted if item.page.name in set(chosen))
    return ChapterJob(Chapter(CHAPTER, tuple(item.page for item in session.pages.accepted)), references)


def _options(seed: int) -> ColorizeOptions:
    """As of ``colorize.py``; no number of failing pages ends a chapter."""
    return ColorizeOptions(seed=seed, max_failures=1.0, contact_sheet=False, progress=False)


def _report(job: ChapterJob) -> ColorizeReport:
    return ColorizeReport(len(job.chapter.pages), 1.0)
