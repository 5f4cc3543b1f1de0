"""Pictures of styles side by side: the paper's Fig. 4, and a sheet of all styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from colorflow.schema import Style
from colorflow.styles.compose import blend
from colorflow.styles.gray import GrayStyle
from colorflow.styles.procedural.scan import Scan
from colorflow.styles.procedural.style import ProceduralStyle
from colorflow.styles.screenvae import ScreenVAEStyle
from colorflow.styles.sketch import SketchStyle
from colorflow.utils.seeding import generator
from colorflow.utils.strips import StripCell, draw_strip

_SHARES = (0.66, 0.33)  # of the gray page, Fig. 4


def screen_of(weights: str | Path | None) -> Style:
    """The screentone to show: ScreenVAE's with weights, else procedural, clean and with soft edges."""
    return ScreenVAEStyle(weights) if weights else ProceduralStyle(scan=None, bitonal=0)


def draw_figure_4(page: Image.Image, screen: Style, seed: int = 0) -> Image.Image:
    """Draw a page in colour, in gray, two interpolations and the screentone, at the page's own size.

    Args:
        page: Colour page.
        screen: Style of the last picture.
        seed: Of the screentone.
    """
    drawn = generator(seed, "strip", screen.name)
    gray, toned = GrayStyle()(page, drawn), screen(page, drawn)
    pictures = {"colour": page, "gray": gray}
    pictures |= {f"gray {share:.2f}": blend(toned, gray, share) for share in _SHARES}
    return _draw([pictures | {screen.name: toned}])


def draw_sheet(pages: Sequence[Image.Image], weights: str | Path | None = None, seed: int = 0) -> Image.Image:
    """Draw each page in every style, at its own size; those with networks only where weights are given.

    Args:
        pages: Colour pages of one height.
        weights: The released ColorFlow folder.
        seed: Of all that is random.
    """
    styles = _all_styles(weights)
    rows = []
    for number, page in enumerate(pages):
        row = {"colour": page} | {
            title: style(page, generator(seed, "sheet", number, title)) for title, style in styles.items()
        }
        row["half gray, half print"] = blend(row["gray"], row["print"], 0.5)
        rows.append(row)
    return _draw(rows)


def _all_styles(weights: str | Path | None) -> dict[str, Style]:
    clean = ProceduralStyle(scan=None, bitonal=0)
    styles: dict[str, Style] = {
        "gray": GrayStyle(),
        "print": clean,
        "print, drawn again": clean,
        "print, bitonal": ProceduralStyle(scan=None, bitonal=1),
        "print, scanned": ProceduralStyle(scan=Scan(share=1), bitonal=0),
    }
    if weights:
        named = (ScreenVAEStyle(weights), SketchStyle(weights), SketchStyle(weights, shading=True))
        styles |= {style.name: style for style in named}
    return styles


def _draw(rows: Sequence[Mapping[str, Image.Image]]) -> Image.Image:
    cells = [[StripCell(title, title, image) for title, image in row.items()] for row in rows]
    return draw_strip(cells, height=max(image.height for row in rows for image in row.values()))
