"""The procedural style: line art, screentone and black of a colour page, with nothing learned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image, ImageFilter

from colorflow.styles.describe import Described
from colorflow.styles.procedural.regions import Regions, find_regions
from colorflow.styles.procedural.scan import Scan
from colorflow.styles.procedural.strokes import closing, opening
from colorflow.styles.procedural.tones import REFERENCE_HEIGHT, ToneRanges, Toning, draw_sheets, draw_toning

_DENSITY = 2  # device pixels a page pixel: dots get soft edges when the page is reduced
_LINE_WIDTH = 9 / REFERENCE_HEIGHT  # widest stroke, of the page's height
_LINE_RANGE = (0.35, 0.85)  # of luminance against the surrounding: all ink below, none above
_CONTOUR_RANGE = (0.45, 0.75)  # of luminance against the mean around: the dark side of an edge is inked as an outline
_CONTOUR_RADIUS = 3  # pixels
_LIGHT_RANGE = (0.10, 0.30)  # a small light stands out of its surrounding by: nothing below, paper above
_LIGHT_GROUND = 153  # 0.6 of 255
_DARK = 51  # 0.2 of 255: what is as dark stays, in night scenes its lines
_PAPER = 230  # 0.9 of 255
_NIGHT, _LEAST_POWER = 0.4, 0.5


@dataclass(frozen=True)
class ProceduralStyle(Described):
    """Screentone by printing's own rules, for those without ScreenVAE weights, and for robustness.

    A substitute for the paper's augmentation, and always recorded under this name.

    Attributes:
        ranges: What tones are drawn from.
        scan: Degradations; None for a clean page.
        bitonal: Share of pages in pure black and white, without soft edges.
        contrast: Whether a page's darkest and lightest areas become black and paper first, as an inker would see it.
        name: Name in records.
    """

    ranges: ToneRanges = field(default_factory=ToneRanges)
    scan: Scan | None = field(default_factory=Scan)
    bitonal: float = 0.2
    contrast: bool = True
    name: str = "procedural"

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the printed page; one number is drawn from the generator, and seeds all else."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        printed = Image.fromarray(self._print(page.convert("RGB"), rng))
        return (printed if self.scan is None else self.scan(printed, rng)).convert("RGB")

    def _print(self, page: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """Lay tones, then draw lines, small lights and blacks over them. ``(H, W)`` uint8."""
        bitonal = bool(rng.random() < self.bitonal)
        density = 1 if bitonal else _DENSITY
        levels = np.asarray(page.convert("L"))
        window = 2 * max(2, round(_LINE_WIDTH * page.height / 2)) + 1
        areas = closing(levels, window)
        regions, factor = _regions(page, window)
        sheets = draw_sheets(rng, self.ranges, page.height / REFERENCE_HEIGHT, density)
        light = contrast_curve(areas) if self.contrast else np.arange(256) / 255
        toning = draw_toning(rng, self.ranges, regions, sheets, light)
        if bitonal:
            toning = replace(toning, plain=np.where(toning.plain == 255, toning.plain, 0))
        labels = enlarge(regions.labels, factor)[: page.height, : page.width]
        printed = lay_tones(toning, labels, _between_lines(levels, areas), density)
        dark = light[levels] < self.ranges.black
        return _draw_strokes(printed, levels, areas, opening(levels, window), dark, bitonal)


def _regions(page: Image.Image, window: int) -> tuple[Regions, int]:
    """Find the regions of a page without its lines, at half its size where it is large; and that factor."""
    factor = 2 if min(page.size) >= 256 else 1
    plain = Image.fromarray(closing(np.asarray(page), window))
    return find_regions(plain.reduce(factor) if factor > 1 else plain), factor


def _between_lines(levels: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Luminance for tones: on light ground that of the ground, where a line is; its soft edge would print as specks."""
    stroke = (levels < _LINE_RANGE[1] * areas.astype(np.float32)) & (areas > _LIGHT_GROUND)
    return np.where(stroke, areas, levels)


def lay_tones(toning: Toning, labels: np.ndarray, levels: np.ndarray, density: int) -> np.ndarray:
    """Print the ink of every pixel through its region's sheet.

    Args:
        toning: The tones.
        labels: ``(H, W)`` int, regions.
        levels: ``(H, W)`` uint8, luminance that tones follow.
        density: Device pixels a page pixel.

    Returns:
        ``(H, W)`` uint8, before any line.
    """
    height, width = labels.shape
    ink = np.where(toning.continuous[labels], toning.curve[levels], toning.ink[labels])
    thresholds = toning.sheets[0].thresholds(height * density, width * density)
    sheet = enlarge(toning.sheet[labels], density)
    for number, screen in enumerate(toning.sheets[1:], 1):
        if (toning.sheet == number).any():
            np.copyto(thresholds, screen.thresholds(*thresholds.shape), where=sheet == number)
    printed = np.where(enlarge(ink, density) > thresholds, np.uint8(0), np.uint8(255))
    toned = np.asarray(Image.fromarray(printed).reduce(density)) if density > 1 else printed
    plain = toning.plain[labels]
    return np.where(plain > 0, plain, toned)


def _draw_strokes(
    printed: np.ndarray, levels: np.ndarray, areas: np.ndarray, opened: np.ndarray, dark: np.ndarray, bitonal: bool
) -> np.ndarray:
    """Ink what is darker than its surrounding, leave out small lights, keep dark what is, and every dark line."""
    low, high = _LINE_RANGE
    line = (levels / np.maximum(areas, np.float32(1)) - low) / (high - low)
    low, high = _CONTOUR_RANGE
    around = np.asarray(Image.fromarray(levels).filter(ImageFilter.BoxBlur(_CONTOUR_RADIUS)))
    line = np.minimum(line, (levels / np.maximum(around, np.float32(1)) - low) / (high - low))
    low, high = _LIGHT_RANGE
    light = ((levels.astype(np.float32) - opened) / 255 - low) / (high - low)
    if bitonal:
        line, light = (np.where(part > 0.5, np.float32(1), np.float32(0)) for part in (line, light))
    page = np.maximum(printed, 255 * light.clip(0, 1)) * line.clip(0, 1)
    dark = dark | (levels < _DARK) & (levels < _LINE_RANGE[1] * areas.astype(np.float32))
    black = np.uint8(0) if bitonal else np.minimum(levels, _DARK)
    return np.where(dark, np.minimum(page, black), page).round().astype(np.uint8)


def contrast_curve(areas: np.ndarray) -> np.ndarray:
    """Luminance by level as an inker would see a page: its darks black, its lights paper, a night scene in tone.

    The darkest 2 % become black and the lightest 20 % white, moved by no more than 0.15 and 0.35; where half of what
    is not paper is darker than `_NIGHT`, a power brings it up to that.

    Args:
        areas: ``(H, W)`` uint8.

    Returns:
        ``(256,)`` float in [0, 1].
    """
    count = np.bincount(areas.ravel(), minlength=256)
    share = np.cumsum(count) / areas.size
    dark = min(int(np.searchsorted(share, 0.02)), 38) / 255
    light = max(int(np.searchsorted(share, 0.80)), 166) / 255
    curve = ((np.arange(256) / 255 - dark) / (light - dark)).clip(0, 1)
    curve[:_DARK] = np.minimum(curve[:_DARK], np.arange(_DARK) / 255)  # by day, what is dark is no darkness to lift
    drawn = np.cumsum(count[:_PAPER])
    middle = curve[np.searchsorted(drawn, drawn[-1] / 2)] if drawn[-1] else 1.0
    if 0 < middle < _NIGHT:
        curve **= max(np.log(_NIGHT) / np.log(middle), _LEAST_POWER)
    return curve


def enlarge(values: np.ndarray, factor: int) -> np.ndarray:
    """Repeat rows and columns."""
    return values if factor == 1 else values.repeat(factor, 0).repeat(factor, 1)
