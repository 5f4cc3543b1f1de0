"""One chapter: what is there, what is missing, and colouring that page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from PIL import Image

from colorflow.colorize.chapter_folder import SHEET, ChapterFolder
from colorflow.colorize.chapter_report import ColorizeReport, draw_sheet
from colorflow.colorize.page_painting import CanvasChoice, Painted, look_up_page, paint_page
from colorflow.data.chapters import DataError
from colorflow.pipelines.attention import AttentionSettings, check_attention
from colorflow.pipelines.attention_picture import draw_attention
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.output import LookUp
from colorflow.retrieval.retriever import reference_pool
from colorflow.schema import Chapter, Page, ReferencePool, RetrievedPatch
from colorflow.utils.color import is_colored
from colorflow.utils.images import load_image
from colorflow.utils.log import get_logger
from colorflow.utils.progress import track
from colorflow.utils.seeding import stable_seed

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
        canvas: ``page``: a canvas of each page's own aspect (`colorflow.canvas.matching_size`), so that pages are shown
            whole; strips are cut into pieces (`colorflow.colorize.page_painting.cut_strip`). ``model``: the model's
            page size for all, pages of another aspect stretched or cropped.
        sequential: A coloured page joins the pool of the pages after it, so that a long chapter stays consistent.
        use_colored_pages: Input pages that are in colour already join the pool.
        overwrite: Colour again what is there.
        max_failures: Fraction of pages that may fail before the run stops; one may where any may.
        attention: Draw attention maps of these pages to ``<output>/<chapter>/attention/NAME.png``.
        fingerprint: What else the result hangs on (weights, sampling): pages made with another one are reported.
        contact_sheet: Draw one a chapter.
        progress: Show progress bars.
    """

    seed: int = 0
    canvas: CanvasChoice = "page"
    sequential: bool = False
    use_colored_pages: bool = True
    overwrite: bool = False
    max_failures: float = 0.05
    attention: AttentionSettings | None = None
    fingerprint: str = ""
    contact_sheet: bool = True
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse a canvas that does not exist."""
        if self.canvas not in ("page", "model"):
            raise ValueError(f"canvas: expected page or model, got {self.canvas!r}")

    def settings(self) -> dict[str, Any]:
        """What results hang on, for their records."""
        names = ("seed", "canvas", "sequential", "use_colored_pages", "fingerprint")
        return {name: getattr(self, name) for name in names}


@dataclass
class ChapterRun:
    """The colouring of one chapter.

    Attributes:
        load: Gives the pipeline; called when a page is to be coloured.
        job: Chapter and references.
        folder: Where its results go.
        options: See `ColorizeOptions`.
        report: Takes what was done.
        watch: Called with a page, the steps of it that are done, and their number (`page_painting.OnStep`).
        pool: References by id, in colour; filled on the way.
    """

    load: Callable[[], ColorFlowPipeline]
    job: ChapterJob
    folder: ChapterFolder
    options: ColorizeOptions
    report: ColorizeReport
    watch: Callable[[Page, int, int], None] | None = None
    pool: dict[str, Image.Image] = field(default_factory=dict)
    _made: ReferencePool | None = None

    def go(self) -> None:
        """Colour what is missing, in reading order, then draw the sheet."""
        for _ in self.pages():
            pass

    def pages(self) -> Iterator[tuple[Page, Painted | None]]:
        """The same, to be watched: every readable page when it has been dealt with, and what was painted if it was."""
        pages = self.job.chapter.pages
        records = self.folder.keep_whole(pages, self.options.overwrite)
        sheet = not self.options.contact_sheet or (self.folder.path / SHEET).is_file()
        if sheet and all(self._is_done(page, records) for page in pages):
            self.report.kept += [page.id for page in pages]
            return
        inputs = self._read()
        self.report.check()
        if not all(colored or self._is_done(page, records) for page, colored in inputs.items()):
            pipeline = self.load()  # outside of what is counted as a page's failure
            if self.options.attention is not None:
                check_attention(pipeline, self.options.attention)
            if not self.pool:
                logger.warning(
                    "%s: no references, so the model guesses every colour; set references=DIR", self.job.chapter.name
                )
        for page in track(list(inputs), self.job.chapter.name, self.options.progress):
            painted = None
            try:
                painted = self._page(page, inputs[page], records)
            except Exception as error:
                self.report.fail(page.id, error)
            self.report.check()
            yield page, painted
        if self.options.contact_sheet:
            draw_sheet(pages, self.folder, self.pool)

    def look_up(self, page: Page) -> list[LookUp]:
        """What the model would be shown for a page of the chapter, before any is coloured; one a piece of a strip."""
        self._read()
        return look_up_page(
            self.load(), load_image(page.path), self._pool(), seed=self._seed(page), canvas=self.options.canvas
        )

    def _read(self) -> dict[Page, bool]:
        """Fill the pool; readable pages and whether they are in colour. Errors as of `_read_references`."""
        self._read_references()
        return self._read_inputs()

    def _is_done(self, page: Page, records: Mapping[str, dict[str, Any]]) -> bool:
        """Whether nothing is missing of a page: its result, and the map that is asked for where it can have one."""
        record = records.get(page.name)
        if record is None:
            return False
        return record["kind"] == "passed_through" or "pieces" in record or not self._asked(page)

    def _read_references(self) -> None:
        """Fill the pool.

        Raises:
            DataError: If there are references and none can be read.
        """
        for page in track(self.job.references, f"{self.job.chapter.name}: references", self.options.progress):
            try:
                self.pool[f"reference/{page.id}"] = load_image(page.path)
            except (OSError, ValueError) as error:
                self.report.warn(f"reference {page.id}", f"left out: {error}")
        if self.job.references and not self.pool:
            raise DataError(
                f"{self.job.chapter.name}: none of its {len(self.job.references)} references can be read, the first: "
                f"{self.report.warnings[f'reference {self.job.references[0].id}']}"
            )

    def _read_inputs(self) -> dict[Page, bool]:
        """Readable pages and whether they are in colour; those that are join the pool before any page is made."""
        inputs = {}
        for page in self.job.chapter.pages:
            try:
                image = load_image(page.path)
            except (OSError, ValueError) as error:
                self.report.fail(page.id, error)
                continue
            inputs[page] = is_colored(image)
            if inputs[page] and self.options.use_colored_pages:
                self.pool[page.id] = image
        return inputs

    def _page(self, page: Page, colored: bool, records: Mapping[str, dict[str, Any]]) -> Painted | None:
        painted = None
        if page.name in records:
            if not self._is_done(page, records):
                self._paint(page)  # for its attention map: the result stays
            self.report.kept.append(page.id)
        elif colored:
            self.folder.write(page, load_image(page.path), {"kind": "passed_through"})
            self.report.passed_through.append(page.id)
        else:
            start = time.perf_counter()
            painted = self._paint(page)
            made = {
                "kind": "colored",
                "seed": self._seed(page),
                "seconds": round(time.perf_counter() - start, 3),
                "canvas": list(painted.shown[0].canvas.size),
                "references": _used([patch for shown in painted.shown for patch in shown.retrieved]),
            }
            if len(painted.pieces) > 1:
                made["pieces"] = [list(box) for box in painted.pieces]
            self.folder.write(page, painted.image, made)
            self.report.colored.append(page.id)
        if self.options.sequential and not colored:
            self.pool[f"{page.id} (coloured)"] = load_image(self.folder.result(page))
        return painted

    def _paint(self, page: Page) -> Painted:
        """Colour a page, and draw its attention map where that is asked."""
        settings = self.options.attention if self._asked(page) else None
        painted = paint_page(
            self.load(),
            load_image(page.path),
            self._pool(),
            seed=self._seed(page),
            canvas=self.options.canvas,
            attention=settings,
            watch=None if self.watch is None else partial(self.watch, page),
        )
        if painted.remarks:
            self.report.warn(page.id, "; ".join(painted.remarks))
        if settings is not None and painted.attention is not None:
            self.folder.write_attention(page, draw_attention(painted.attention, page.id), settings.asked())
        return painted

    def _seed(self, page: Page) -> int:
        return stable_seed(self.options.seed, page.chapter, page.name)

    def _asked(self, page: Page) -> bool:
        """Whether a page's attention map is asked for and not there."""
        settings = self.options.attention
        if settings is None or not (settings.pages is None or {page.id, page.name} & set(settings.pages)):
            return False
        return not self.folder.has_attention(page, settings.asked())

    def _pool(self) -> ReferencePool:
        """The pool as it is now; made again, with its digests, only when a page has joined."""
        if self._made is None or len(self._made.ids) != len(self.pool):
            self._made = reference_pool(list(self.pool), list(self.pool.values()))
        return self._made


def _used(retrieved: Sequence[RetrievedPatch]) -> list[dict[str, Any]]:
    """Patches as JSON, best first; a similarity that was not measured is null."""
    patches = [asdict(patch) for patch in retrieved]
    for patch in patches:
        measured = patch["similarity"] == patch["similarity"]  # NaN is not
        patch["similarity"] = round(patch["similarity"], 5) if measured else None
    return sorted(patches, key=lambda patch: -(patch["similarity"] or 0.0))
