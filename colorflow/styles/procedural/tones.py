"""Which tone a region gets: the sheets of a page, and ink by luminance, drawn anew for every page.

Ranges are those of the literature on synthetic manga and of printing practice where these name numbers; the others are
our choice. docs/styles.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colorflow.styles.procedural.regions import Regions
from colorflow.styles.procedural.screens import LEVELS, Screen

REFERENCE_HEIGHT = 1200
"""Page height that cells are given at: the released 1.5 times 800."""

_USUAL_CELLS = (3.0, 6.0)
_FEWEST_PIXELS = {1: 3.0, 2: 2.0}  # of a cell on the page, by density: smaller dots are plain gray, or noise
_KINDS = {"round": 0.70, "line": 0.12, "diamond": 0.04, "square": 0.04, "grain": 0.10}
_FLATS = np.arange(8) / 10  # 0 to 70 %: the strengths tone is sold in; darker areas are inked
_FADE = 0.1  # of luminance: between the last dots and paper, and between open tone and solid ink
_UNEVEN = 0.045  # standard deviation of luminance from which an area is no flat
_FADING = 0.12  # of the border: such an area goes on in its neighbours, with the same tone
_LIGHT = 0.65  # luminance of an even area that may be left white
_BINS = 4  # a channel: areas of like colours get the same tone wherever they are on the page


@dataclass(frozen=True)
class ToneRanges:
    """What is drawn for a page and its regions.

    Attributes:
        cell: Smallest and largest distance of dots in pixels of a page of `REFERENCE_HEIGHT`, log-uniform.
        usual: Share of pages within 3 to 6 pixels.
        exponent: Range of g in ``ink = 1 - luma ** g``.
        continuous: Share of even regions whose ink follows the luminance; that of uneven regions always does.
        plain: Largest share of even regions without tone (a page draws its own, from 0); light ones stay white.
        grays: Share of pages on which the darker of these are flat gray, as on screens; elsewhere they get tone.
        white: Luminance above which a region is paper.
        black: Luminance below which it is solid ink.
        flats: Whether flat ink is rounded to the strengths tone is sold in, 0 to 70 % by 10.
    """

    cell: tuple[float, float] = (2.5, 12.0)
    usual: float = 0.6
    exponent: tuple[float, float] = (0.8, 1.4)
    continuous: float = 0.25
    plain: float = 0.4
    grays: float = 0.3
    white: float = 0.9
    black: float = 0.2
    flats: bool = True


@dataclass(frozen=True)
class Toning:
    """The tones of a page; R regions.

    Attributes:
        sheets: The screens in use.
        sheet: ``(R,)`` which of them a region has.
        ink: ``(R,)`` uint8 in [0, 255], the ink of flat regions.
        continuous: ``(R,)`` bool, regions whose ink follows the luminance.
        plain: ``(R,)`` uint8, gray of regions without tone; 0 marks those with tone.
        curve: ``(256,)`` uint8, ink by luminance level.
    """

    sheets: tuple[Screen, ...]
    sheet: np.ndarray
    ink: np.ndarray
    continuous: np.ndarray
    plain: np.ndarray
    curve: np.ndarray


def draw_sheets(rng: np.random.Generator, ranges: ToneRanges, scale: float, density: int) -> tuple[Screen, ...]:
    """Draw the sheets of a page: one for most areas, and up to two more.

    Args:
        rng: Source of all draws.
        ranges: What to draw from.
        scale: Page height over `REFERENCE_HEIGHT`.
        density: Device pixels a page pixel, 1 or 2.
    """
    cells = [_draw_cell(rng, ranges)]
    cells += [cells[0] * float(rng.choice([0.7, 1.0, 1.0, 1.5])) for _ in range(int(rng.integers(0, 3)))]
    sheets = []
    for cell in cells:
        kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
        phase = tuple(int(shift) for shift in rng.integers(0, 4096, 2))
        sheets.append(
            Screen(kind, max(cell * scale, _FEWEST_PIXELS[density]) * density, _draw_angle(rng), (phase[0], phase[1]))
        )
    return tuple(sheets)


def draw_toning(
    rng: np.random.Generator, ranges: ToneRanges, regions: Regions, sheets: tuple[Screen, ...], levels: np.ndarray
) -> Toning:
    """Draw the tone of each region; regions of like colour draw alike.

    Args:
        rng: Source of all draws.
        ranges: What to draw from.
        regions: The regions.
        sheets: The page's sheets.
        levels: ``(256,)`` float in [0, 1], luminance by level after the page's contrast has been set.
    """
    exponent, plain_share = rng.uniform(*ranges.exponent), rng.uniform(0, ranges.plain)
    grays = rng.random() < ranges.grays
    draws = rng.random((3, _BINS**3))  # what is drawn for one page has one length, whatever is on it
    bins = (regions.color * (_BINS - 1e-3)).astype(int) @ np.array([_BINS**2, _BINS, 1])
    by_sheet, by_kind, by_plain = draws[:, bins]
    curve = ink_curve(levels, exponent, ranges)
    light = levels[(regions.luma * 255).round().astype(int).clip(0, 255)]
    ink = curve[(regions.luma * 255).round().astype(int).clip(0, 255)] / LEVELS
    middle = (light <= ranges.white) & (light >= ranges.black)
    if ranges.flats:
        ink = np.where(middle, _FLATS[np.abs(ink[:, None] - _FLATS).argmin(1)], ink)
    fading = regions.fading > _FADING
    continuous = (regions.spread > _UNEVEN) | fading | (by_kind < ranges.continuous)
    plain = np.where(light > _LIGHT, 255, (light * 255).round() if grays else 0).astype(np.uint8)
    return Toning(
        sheets,
        np.where(fading | (by_sheet < 0.6), 0, (by_sheet * 1e4).astype(int) % len(sheets)).astype(np.uint8),
        (ink * LEVELS).round().astype(np.uint8),
        continuous | (not ranges.flats),
        np.where(middle & ~continuous & (by_plain < plain_share), plain, 0).astype(np.uint8),
        curve,
    )


def ink_curve(levels: np.ndarray, exponent: float, ranges: ToneRanges) -> np.ndarray:
    """Ink by luminance level: ``1 - luma ** exponent``, none on paper white, all in the blacks. ``(256,)`` uint8."""
    ink = 1 - np.clip(levels, 0, 1) ** exponent
    ink = np.minimum(ink, np.clip((ranges.white - levels) / _FADE, 0, 1) * ink.max())
    ink = np.maximum(ink, np.clip((ranges.black + _FADE - levels) / _FADE, 0, 1))
    return (ink * LEVELS).round().astype(np.uint8)


def _draw_cell(rng: np.random.Generator, ranges: ToneRanges) -> float:
    low, high = ranges.cell
    if rng.random() < ranges.usual:
        low, high = max(low, _USUAL_CELLS[0]), min(high, _USUAL_CELLS[1])
        low, high = (low, high) if low < high else ranges.cell
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _draw_angle(rng: np.random.Generator) -> float:
    """45 degrees 65 %, 0 or 90 10 %, 60 or 75 10 %, anything 15 %."""
    part = rng.random()
    if part < 0.65:
        return 45.0
    if part < 0.85:
        return float(rng.choice([0.0, 90.0] if part < 0.75 else [60.0, 75.0]))
    return float(rng.uniform(0, 180))
