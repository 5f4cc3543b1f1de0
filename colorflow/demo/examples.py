"""Something to try: a generated chapter, some pages in black and white, the others in colour."""

from __future__ import annotations

from pathlib import Path

from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import save_png

CHAPTERS = (1003, 1004)
"""Seeds of the chapters, one an example; training sets use smaller ones."""

SPEC = ToonSpec(size=(192, 288), min_cast=2, max_cast=3, max_panels=2, own_luminance=True, hue_span=0.25)
"""Comics as the weights that come with the package know them (configs/data/toon.yaml)."""

_TO_COLOR, _REFERENCES = 2, 5


def write_example(number: int, folder: Path) -> tuple[list[Path], list[Path]]:
    """Draw an example, or find it drawn.

    Args:
        number: Index into `CHAPTERS`.
        folder: Where it goes, in a folder of its own.

    Returns:
        Files of the pages to colour, and of the references.
    """
    target = folder / f"example-{number + 1}"
    pages = [target / f"page-{i + 1:02d}.png" for i in range(_TO_COLOR)]
    references = [target / f"in-colour-{i + 1:02d}.png" for i in range(_REFERENCES)]
    if not all(path.is_file() for path in (*pages, *references)):
        drawn = draw_chapter(CHAPTERS[number], _TO_COLOR + _REFERENCES, SPEC)
        for page, path in zip(drawn, (*references, *pages), strict=True):
            save_png(page.color.convert("L") if path in pages else page.color, path)
    return pages, references
