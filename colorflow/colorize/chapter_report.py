"""What a run over chapters did: the report, its limit on failures, and the contact sheet of a chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from colorflow.colorize.chapter_folder import SHEET, ChapterFolder, provenance
from colorflow.schema import Page
from colorflow.utils.images import load_image, save_png
from colorflow.utils.log import get_logger
from colorflow.utils.progress import allowed_failures
from colorflow.utils.strips import CELL_HEIGHT, StripCell, contain, draw_strip, mosaic

_LISTED = 20

logger = get_logger(__name__)


class TooManyFailuresError(RuntimeError):
    """More pages failed than are allowed; the message lists them."""


@dataclass
class ColorizeReport:
    """What was done, by page id; failures with their reason.

    Attributes:
        pages: Number of pages of all chapters.
        max_failures: See `ColorizeOptions`.
        colored: Coloured now.
        kept: There already.
        passed_through: In colour already.
        failures: Pages left out.
        warnings: References that could not be read, pages that the canvas does not show whole, maps that could not be
            drawn.
    """

    pages: int
    max_failures: float
    colored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    passed_through: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)

    def fail(self, page: str, error: Exception) -> None:
        """Note a page that is left out."""
        self.failures[page] = f"{type(error).__name__}: {error}"
        logger.warning("%s failed and is left out: %s", page, self.failures[page])

    def warn(self, what: str, reason: str) -> None:
        """Note something that is not as it should be, and does not cost a page."""
        self.warnings[what] = reason
        logger.warning("%s: %s", what, reason)

    def check(self) -> None:
        """Stop where too many pages failed.

        Raises:
            TooManyFailuresError: Listing them.
        """
        allowed = allowed_failures(self.pages, self.max_failures)
        if len(self.failures) > allowed:
            raise TooManyFailuresError(
                f"{len(self.failures)} of {self.pages} pages failed, more than max_failures={self.max_failures:g} "
                f"allows ({allowed}):\n{self.listed()}\nPages that worked are kept; mend these and run the same "
                "command again, or raise options.max_failures (1 leaves every failing page out and goes on)."
            )

    def listed(self) -> str:
        """One line a failing page."""
        lines = [f"  {page}: {reason}" for page, reason in self.failures.items()]
        more = [f"  and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
        return "\n".join([*lines[:_LISTED], *more])


def draw_sheet(pages: Sequence[Page], folder: ChapterFolder, pool: Mapping[str, Image.Image]) -> None:
    """Draw input, the reference pages that were used most, and result of every page that is there.

    Args:
        pages: Pages of the chapter.
        folder: Where results are and the sheet goes.
        pool: References by id.
    """
    rows, records = [], folder.records()
    for page in (page for page in pages if page.name in records):
        image = _reduced(load_image(page.path))
        names = [used["reference"] for used in records[page.name].get("references", ())]
        used = [pool[name] for name in dict.fromkeys(names) if name in pool]
        count = "1 page" if len(used) == 1 else f"{len(used)} pages"
        kind = "in colour already" if records[page.name]["kind"] == "passed_through" else ""
        rows.append(
            [
                StripCell("input", "Input", image, page.id),
                StripCell("references", "References used", mosaic(used, image.size), count),
                StripCell("result", "Result", _reduced(load_image(folder.result(page))), kind),
            ]
        )
    if rows:
        save_png(draw_strip(rows), folder.path / SHEET, provenance())


def _reduced(image: Image.Image) -> Image.Image:
    """What a sheet needs of a page: hundreds of them at full size would fill the memory."""
    return contain(image, (3 * CELL_HEIGHT, 2 * CELL_HEIGHT)) if image.height > 2 * CELL_HEIGHT else image
