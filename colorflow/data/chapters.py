"""Chapter folders ``<root>/<chapter>/*.{png,jpg,webp,...}``: which pages there are or are left out, who is held out.

The validation split is made of whole chapters, since pages of one chapter share characters, backgrounds and colours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from colorflow.schema import Chapter, Page
from colorflow.utils.files import write_json_atomic
from colorflow.utils.images import IMAGE_SUFFIXES, natural_key
from colorflow.utils.seeding import stable_seed

DAMAGED = ("unreadable", "duplicate name")
"""Kinds of skips that count against the allowed fraction: something is wrong with the data."""

HeldOut = Sequence[str] | int | float
"""Validation chapters: their names, how many, or which fraction."""


class DataError(ValueError):
    """Training data that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Skip:
    """One file or folder that is left out.

    Attributes:
        path: Where it is.
        kind: ``unreadable``, ``duplicate name``, ``alone`` (the only page of its chapter), ``empty chapter``, or of
            a `PageFilter`: ``no colour``, ``near duplicate``.
        reason: One line.
    """

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class SkipReport:
    """Everything that was left out of a set of chapters.

    Attributes:
        pages: Number of picture files found, the skipped ones included.
        skips: What was left out.
    """

    pages: int
    skips: tuple[Skip, ...] = ()

    def counts(self) -> dict[str, int]:
        """Number of skips of each kind, most frequent first."""
        return dict(Counter(skip.kind for skip in self.skips).most_common())

    def check(self, max_fraction: float) -> None:
        """Stop where too many pages are damaged.

        Raises:
            DataError: If more than ``max_fraction`` of the pages are unreadable or share a name.
        """
        damaged = [skip for skip in self.skips if skip.kind in DAMAGED]
        if len(damaged) <= max_fraction * self.pages:
            return
        examples = "\n".join(f"  {skip.path}: {skip.reason}" for skip in damaged[:5])
        raise DataError(
            f"{len(damaged)} of {self.pages} pages cannot be used, more than max_skip_fraction={max_fraction:g} "
            f"allows:\n{examples}\nRepair or remove these files, or raise max_skip_fraction."
        )

    def write(self, path: Path) -> None:
        """Write the list as JSON, atomically."""
        write_json_atomic(
            {"pages": self.pages, "counts": self.counts(), "skipped": [asdict(skip) for skip in self.skips]}, path
        )


def read_chapters(root: str | Path, names: Sequence[str] | None = None) -> tuple[list[Chapter], SkipReport]:
    """List the chapters of a folder, in natural order, without opening a picture.

    Hidden files and folders are ignored; files that are no pictures are not pages. Of two pages of
    one name (``001.png`` and ``001.jpg``) the first is kept.

    Args:
        root: The folder of chapter folders.
        names: Folder names of the chapters to read; None reads all.

    Returns:
        The chapters with at least one page, and what was left out.

    Raises:
        DataError: For a folder that is missing, holds no chapter, or holds pictures but no folders, and for
            names that are not there.
    """
    root = Path(root)
    chapters: list[Chapter] = []
    skips: list[Skip] = []
    folders = chapter_folders(root)
    if names is not None:
        _check_names(names, [folder.name for folder in folders], "chapters")
        folders = [folder for folder in folders if folder.name in set(names)]
    for folder in folders:
        pages, duplicates = read_pages(folder)
        skips += duplicates
        if pages:
            chapters.append(Chapter(folder.name, pages))
        else:
            skips.append(Skip(str(folder), "empty chapter", "no pictures in it"))
    if not chapters:
        raise nothing_found(root)
    total = sum(len(chapter.pages) for chapter in chapters) + sum(skip.kind == "duplicate name" for skip in skips)
    return chapters, SkipReport(total, tuple(skips))


def chapter_folders(root: Path) -> list[Path]:
    """List the folders of a folder of chapters, in natural order.

    Raises:
        DataError: For a folder that is missing.
    """
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder of chapter folders, found none; set data.root (or source) to one")
    return sorted((path for path in _visible(root) if path.is_dir()), key=lambda path: natural_key(path.name))


def split_chapters(names: Sequence[str], held_out: HeldOut, seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide chapters into training and validation, never a chapter into both.

    A count or fraction takes the chapters whose hashed names come first, so that the choice depends on
    names and seed, and on neither order nor machine.

    Args:
        names: Chapter names, unique.
        held_out: Names of the validation chapters, their number, or a fraction in [0, 1).
        seed: Seed of the choice; explicit names do not need it.

    Returns:
        (training names, validation names), each in the order of ``names``.

    Raises:
        DataError: For names that do not exist, or where no chapter is left for training.
    """
    chosen = set(_choose(names, held_out, seed))
    train = tuple(name for name in names if name not in chosen)
    if not train:
        raise DataError(
            f"val_chapters={held_out!r} holds out all {len(names)} chapters; leave at least one for training "
            "(val_chapters=0 for no validation)"
        )
    return train, tuple(name for name in names if name in chosen)


def _choose(names: Sequence[str], held_out: HeldOut, seed: int) -> Sequence[str]:
    """Return the names to hold out."""
    if isinstance(held_out, (bool, str)) or not isinstance(held_out, (int, float, Sequence)):
        raise DataError(f"val_chapters: expected a list of names, a count or a fraction, got {held_out!r}")
    if isinstance(held_out, Sequence):
        _check_names(held_out, names, "val_chapters")
        return held_out
    if isinstance(held_out, float):
        if not 0 <= held_out < 1:
            raise DataError(f"val_chapters: expected a fraction in [0, 1) or a whole count, got {held_out}")
        held_out = max(1, min(round(held_out * len(names)), len(names) - 1)) if held_out else 0
    if held_out < 0:
        raise DataError(f"val_chapters: expected a count of at least 0, got {held_out}")
    return sorted(names, key=lambda name: (stable_seed(seed, "split", name), name))[:held_out]


def _check_names(wanted: Sequence[str], names: Sequence[str], key: str) -> None:
    """Fail on chapters that are not there."""
    missing = [name for name in wanted if name not in set(names)]
    if missing:
        raise DataError(f"{key}: no such chapters {missing}; there are {some_names(names)}")


def read_pages(folder: Path) -> tuple[tuple[Page, ...], list[Skip]]:
    """List the pictures of one folder, in natural order, without opening any.

    Returns:
        Its pages, and the files left out because another page already has their name.
    """
    pages: dict[str, Page] = {}
    skips: list[Skip] = []
    files = (path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    for path in sorted(files, key=lambda path: natural_key(path.name)):
        if path.stem in pages:
            skips.append(Skip(str(path), "duplicate name", f"{pages[path.stem].path.name} is the same page name"))
        else:
            pages[path.stem] = Page(folder.name, path.stem, path)
    return tuple(pages.values()), skips


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def nothing_found(root: Path) -> DataError:
    """Return the error for a folder without a chapter that has pages."""
    if any(path.suffix.lower() in IMAGE_SUFFIXES for path in _visible(root)):
        what = "chapter folders, found pictures only; move each chapter's pages into its own folder"
    else:
        what = "<chapter>/<page>.png (or jpg, webp), found no pictures; is this the right folder?"
    return DataError(f"{root}: expected {what}")


def some_names(names: Sequence[str], limit: int = 12) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
