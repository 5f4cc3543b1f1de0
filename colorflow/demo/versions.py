"""A visitor's uploads and the versions of a chapter that were coloured of them."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from colorflow.colorize.chapter_folder import ChapterFolder
from colorflow.colorize.chapter_report import ColorizeReport
from colorflow.demo.uploads import CHAPTER, Uploads
from colorflow.pipelines.output import LookUp
from colorflow.schema import Page
from colorflow.utils.files import atomic_path
from colorflow.utils.images import load_image, save_png
from colorflow.utils.strips import contain

KEPT = 6
"""Versions that are kept; older ones are deleted (our choice)."""

SCREEN = (1400, 2000)
"""Largest size that a page is shown at, pixels."""


@dataclass
class Version:
    """A chapter that was coloured, wholly or until it was stopped.

    Attributes:
        number: From 1.
        seed: Of its noise.
        references: Names of the references.
        pages: Pages of the chapter.
        folder: Where results are, as ``colorize.py`` writes them.
        report: What was done.
        shown: What the model was shown for each page that it coloured, by name.
        stopped: Whether it was ended before its last page.
    """

    number: int
    seed: int
    references: tuple[str, ...]
    pages: tuple[Page, ...]
    folder: ChapterFolder
    report: ColorizeReport
    shown: dict[str, list[LookUp]] = field(default_factory=dict)
    stopped: bool = False

    @property
    def title(self) -> str:
        """What it is called on the page."""
        count = len(self.references)
        return f"Version {self.number}: seed {self.seed}, {count} {'reference' if count == 1 else 'references'}"

    @property
    def place(self) -> Path:
        """Where all of it lies."""
        return self.folder.path.parent

    def results(self) -> dict[str, Path]:
        """Files of the pages that are done, by name, in reading order."""
        files = {page.name: self.folder.result(page) for page in self.pages}
        return {name: file for name, file in files.items() if file.is_file()}

    def for_screen(self, name: str) -> tuple[Path, Path]:
        """A page before and after as PNG, reduced where it is larger than `SCREEN`.

        Raises:
            KeyError: For a page that is not done.
        """
        result = self.results()[name]
        before = next(page.path for page in self.pages if page.name == name)
        return self._reduced(before, f"{name}-before"), self._reduced(result, f"{name}-after")

    def _reduced(self, path: Path, name: str) -> Path:
        file = self.place / "screen" / f"{name}.png"
        if not file.is_file():
            save_png(within(load_image(path), SCREEN), file)
        return file

    def zip(self) -> Path:
        """Pack the pages that are done: names kept, PNG, each of its page's own size.

        Raises:
            ValueError: If there is none.
        """
        results = self.results()
        if not results:
            raise ValueError("There is no coloured page to download yet.")
        target = self.place / f"{CHAPTER}-version-{self.number}-seed-{self.seed}.zip"
        with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:  # stored: PNG is packed
            for name, file in results.items():
                archive.write(file, f"{name}.png")
        return target


@dataclass
class Session:
    """What a visitor has here; plain values, so that it can be copied.

    Attributes:
        pages: Uploaded pages.
        references: Uploaded references.
        versions: The last ones.
        count: How many there were.
        folder: Of all versions, made with the first.
        stop: Set to end the colouring.
    """

    pages: Uploads = field(default_factory=Uploads)
    references: Uploads = field(default_factory=Uploads)
    versions: list[Version] = field(default_factory=list)
    count: int = 0
    folder: Path | None = None
    stop: bool = False

    def version(self, number: int | None) -> Version | None:
        """A version that is kept."""
        return next((version for version in self.versions if version.number == number), None)

    def keep(self, version: Version) -> None:
        """Add a version; the oldest goes where there are too many."""
        self.versions.append(version)
        for old in self.versions[:-KEPT]:
            shutil.rmtree(old.place, ignore_errors=True)
        del self.versions[:-KEPT]

    def close(self) -> None:
        """Delete all results."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.versions, self.folder = [], None


def within(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image scaled down until it fits; a smaller one as it is."""
    return contain(image, size) if image.width > size[0] or image.height > size[1] else image
