"""Pictures of characters that are known by name: of a folder, or cut out of generated comics."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from colorflow.data.chapters import DataError, read_chapters
from colorflow.toon import ToonPage, ToonSpec, draw_page
from colorflow.utils.hashing import digest_image, digest_json
from colorflow.utils.images import load_image
from colorflow.utils.seeding import stable_seed

Part = Literal["box", "head"]

_MAX_PAGES = 200
"""Pages drawn of a chapter in search of its characters; a cast of six needs about 30 for ten pictures each."""


@dataclass(frozen=True, eq=False)
class CharacterPicture:
    """One colour picture of a character.

    Attributes:
        character: Whom it shows; unique over the whole set.
        page: What it was cut out of. Two pictures of one page are never compared: they share more than a character.
        image: RGB.
    """

    character: str
    page: str
    image: Image.Image


@dataclass(frozen=True)
class CharacterFolder:
    """Pictures as ``<root>/<character>/*.{png,jpg,webp}``, one character a folder.

    Attributes:
        root: The folder.
    """

    root: str | Path

    def load(self) -> list[CharacterPicture]:
        """Read all of them.

        Raises:
            DataError: For fewer than two characters, or a character with a single picture.
        """
        chapters, _ = read_chapters(self.root)
        alone = [chapter.name for chapter in chapters if len(chapter.pages) < 2]
        if alone or len(chapters) < 2:
            raise DataError(
                f"{self.root}: expected <character>/*.png, at least two characters with two pictures each, got "
                f"{len(chapters)} characters, of which {', '.join(alone) or 'none'} with a single picture"
            )
        return [
            CharacterPicture(chapter.name, f"{chapter.name}/{page.name}", load_image(page.path))
            for chapter in chapters
            for page in chapter.pages
        ]


@dataclass(frozen=True)
class ToonCharacters:
    """Characters of generated chapters, cut out by their exact boxes, at most once a page.

    The characters of a chapter stand in the same places, so that scenery tells little of who it is.

    Attributes:
        characters: How many, dealt to the chapters evenly (10: the paper's supplement).
        images: Pictures of each (10: the paper's supplement).
        chapters: Chapters they play in, each with a cast as large as its share, at most 6 (2: our choice).
        seed: Seed of the chapters.
        part: ``box`` for the whole character, ``head`` for its head without hair and hat.
        min_side: Cut-outs with a shorter side, in pixels, are left out: their panel clips them.
        spec: Options of the drawing; the size of the cast is set here.

    Raises:
        ValueError: For counts that do not go together.
    """

    characters: int = 10
    images: int = 10
    chapters: int = 2
    seed: int = 0
    part: Part = "box"
    min_side: int = 32
    spec: ToonSpec = field(default_factory=ToonSpec)

    def __post_init__(self) -> None:
        """Check the counts; the drawing checks the size of a cast."""
        if self.characters < 2 or self.images < 2 or not 1 <= self.chapters <= self.characters:
            raise ValueError(
                "study.toon: expected at least 2 characters, 2 images of each, and from 1 to characters chapters, got "
                f"characters={self.characters}, images={self.images}, chapters={self.chapters}"
            )
        if self.part not in ("box", "head"):
            raise ValueError(f"study.toon.part: expected box or head, got {self.part!r}")

    def load(self) -> list[CharacterPicture]:
        """Draw chapters until every character has its pictures.

        Raises:
            ValueError: Where the pages do not show a character often enough.
        """
        shares = [len(range(number, self.characters, self.chapters)) for number in range(self.chapters)]
        return [picture for number, cast in enumerate(shares) for picture in self._chapter(number, cast)]

    def _chapter(self, number: int, cast: int) -> list[CharacterPicture]:
        spec = ToonSpec(**{**asdict(self.spec), "min_cast": cast, "max_cast": cast})
        found: dict[int, list[CharacterPicture]] = {character: [] for character in range(cast)}
        for index in range(_MAX_PAGES):
            page = draw_page(stable_seed("retrieval study", self.seed, number), index, spec)
            for character, image in self._cut(page).items():
                name = f"toon {number + 1}{'abcdef'[character]}"
                found[character].append(CharacterPicture(name, f"{number}/{index:03d}", image))
            if all(len(pictures) >= self.images for pictures in found.values()):
                return [picture for pictures in found.values() for picture in pictures[: self.images]]
        counts = ", ".join(str(len(pictures)) for pictures in found.values())
        raise ValueError(
            f"study.toon: expected {self.images} pictures of each character within {_MAX_PAGES} pages, got {counts}; "
            f"lower min_side ({self.min_side}) or images, or draw larger pages (spec.size)"
        )

    def _cut(self, page: ToonPage) -> dict[int, Image.Image]:
        """The largest cut-out of each character of a page."""
        largest: dict[int, Image.Image] = {}
        for character in page.characters:
            left, top, right, bottom = character.head if self.part == "head" else character.box
            if min(right - left, bottom - top) < self.min_side:
                continue
            before = largest.get(character.id)
            if before is None or before.width * before.height < (right - left) * (bottom - top):
                largest[character.id] = page.color.crop((left, top, right, bottom))
        return largest


def describe_pictures(source: CharacterFolder | ToonCharacters, pictures: list[CharacterPicture]) -> dict[str, Any]:
    """As JSON, for the protocol: what they are and a digest of all pixels. A folder's own place is not told."""
    options = asdict(source) if isinstance(source, ToonCharacters) else {}
    return {
        "source": type(source).__name__,
        **options,
        "characters": len({picture.character for picture in pictures}),
        "pictures": len(pictures),
        "sha256": digest_json([[picture.character, digest_image(picture.image)] for picture in pictures]),
    }
