"""Colours of a chapter: a designer's hue wheel, and colours of a given hue at a given luma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from colorflow.toon.spec import PARTS, Color
from colorflow.utils.seeding import stable_seed

WHEEL: tuple[Color, ...] = (
    (232, 50, 62), (246, 110, 40), (252, 176, 36), (226, 214, 40), (132, 200, 52), (40, 176, 92),
    (20, 180, 168), (40, 166, 232), (58, 98, 236), (128, 78, 226), (206, 70, 206), (246, 84, 150),
)  # fmt: skip
"""Twelve saturated comic colours around the circle (our choice); hues between are mixed."""

LEVELS = {"hair": (104, 132, 160), "skin": (160, 188), "top": (104, 132, 160), "bottom": (104, 132), "prop": (132, 160)}
"""Luma levels a part draws from, whatever its hue (our choice: faces lighter, so that they read)."""

SCENE_LEVELS = (226, 208, 192, 214, 176, 188, 234)
"""Luma of sky or wall, far, near, ground, accent, ground shadow, light (our choice: lighter than the cast)."""

CAST_RANGE, SCENE_RANGE = (92, 188), (168, 240)
"""Lumas that the cast and the scenery are spread over where every colour has its own (our choice)."""


def dice(*parts: int | str) -> np.random.Generator:
    """A generator that depends on ``parts`` alone, on every machine."""
    return np.random.Generator(np.random.PCG64(stable_seed(*parts)))


def luma(color: Color) -> int:
    """ITU-601 luma in [0, 255], as Pillow's ``convert("L")`` computes it."""
    red, green, blue = color
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def wheel(hue: float) -> tuple[float, float, float]:
    """The saturated colour at ``hue`` in turns, as floats in [0, 255]."""
    place = (hue % 1.0) * len(WHEEL)
    low, share = int(place) % len(WHEEL), place - int(place)
    one, two = WHEEL[low], WHEEL[(low + 1) % len(WHEEL)]
    red, green, blue = (a + share * (b - a) for a, b in zip(one, two, strict=True))
    return red, green, blue


def color_at(hue: float, level: int, saturation: float) -> Color:
    """The colour of a hue whose luma is exactly ``level``.

    Args:
        hue: In turns.
        level: ITU-601 luma, 1 to 254.
        saturation: 0 (gray) to 1 (the strongest colour of that hue and luma).
    """
    pure = wheel(hue)
    own = 0.299 * pure[0] + 0.587 * pure[1] + 0.114 * pure[2]
    tint = max(0.0, (level - own) / (255.0 - own))
    shade = min(1.0, level / own)
    mixed = [shade * channel + tint * (255.0 - shade * channel) for channel in pure]
    rgb = [int(level + saturation * (channel - level) + 0.5) for channel in mixed]
    return _settle([min(255, max(0, channel)) for channel in rgb], level)


def _settle(rgb: list[int], level: int) -> Color:
    """Move channels by single steps until the integer luma is exactly ``level``."""
    for _ in range(64):
        gap = level - luma((rgb[0], rgb[1], rgb[2]))
        if gap == 0:
            break
        step = 1 if gap > 0 else -1
        movable = [c for c in (1, 0, 2) if 0 <= rgb[c] + step <= 255]
        rgb[movable[0]] += step
    return rgb[0], rgb[1], rgb[2]


def natural(hue: float, saturation: float, light: float) -> Color:
    """A colour whose luma follows its hue: the wheel's colour, lightened and dulled."""
    rgb = [channel + light * (255.0 - channel) for channel in wheel(hue)]
    mean = sum(rgb) / 3.0
    red, green, blue = (int(mean + saturation * (channel - mean) + 0.5) for channel in rgb)
    return red, green, blue


def own_levels(rng: np.random.Generator, cast: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """A luma of its own for every colour of a chapter, drawn without regard to any hue.

    Returns:
        ``(cast, parts)`` levels of the cast, evenly spread and dealt at random, and ``(places, uses)`` levels
        of the scenery, lighter, in the order of ``SCENE_LEVELS`` whatever the place.
    """
    parts = rng.permutation(np.linspace(*CAST_RANGE, cast * len(PARTS)).round()).reshape(cast, len(PARTS))
    scenes = np.empty((places, len(SCENE_LEVELS)))
    spread = np.linspace(*SCENE_RANGE, scenes.size).round()
    for rank, use in enumerate(np.argsort(SCENE_LEVELS)):
        scenes[:, use] = rng.permutation(spread[rank * places : (rank + 1) * places])
    return parts.astype(int), scenes.astype(int)


@dataclass(frozen=True)
class Mood:
    """The part of the hue wheel that a chapter's colours lie in: it begins at ``start`` and is ``span`` turns long."""

    start: float = 0.0
    span: float = 1.0

    def __call__(self, hue: float) -> float:
        """Squeeze a hue, in turns, into it."""
        return self.start + self.span * (hue % 1.0) if self.span < 1.0 else hue


def cast_colors(
    rng: np.random.Generator, cast: int, equal_luminance: bool, levels: np.ndarray | None = None, mood: Mood = Mood()
) -> tuple[tuple[Color, ...], ...]:
    """Colours of every part of every character of a chapter.

    Within a part the hues of the cast are spread over the circle, so that characters differ;
    where the circle starts, and who gets which hue, is random, so that no hue belongs to a part.
    Of a few such deals the one with the most contrast between neighbouring parts is taken.
    """
    hues = max((_deal_hues(rng, cast) for _ in range(12)), key=_contrast)
    table = []
    for character, row in enumerate(hues):
        colors = []
        for part, (name, hue) in enumerate(zip(PARTS, row, strict=True)):
            hue = mood(float(hue))
            level = int(rng.choice(LEVELS[name]) if levels is None else levels[character, part])
            saturation = float(rng.uniform(0.84, 1.0))
            light = float(rng.uniform(0.0, 0.3))
            colors.append(color_at(hue, level, saturation) if equal_luminance else natural(hue, saturation, light))
        table.append(tuple(colors))
    return tuple(table)


def _deal_hues(rng: np.random.Generator, cast: int) -> np.ndarray:
    """(cast, parts) hues in turns, spread over the circle within each part."""
    columns = [rng.random() + (rng.permutation(cast) + 0.5 * rng.random(cast)) / cast for _ in PARTS]
    return np.stack(columns, axis=1) % 1.0


def _contrast(hues: np.ndarray) -> float:
    """Smallest distance between neighbouring parts (hair, skin, top, bottom) of any character."""
    gap = np.abs(hues[:, :3] - hues[:, 1:4])
    return float(np.minimum(gap, 1.0 - gap).min())


def scene_colors(
    rng: np.random.Generator, equal_luminance: bool, levels: Sequence[int] = SCENE_LEVELS, mood: Mood = Mood()
) -> tuple[Color, ...]:
    """Seven colours of a location (see ``SCENE_LEVELS``): two related hues and one apart."""
    base = float(rng.random())
    ground = base + float(rng.uniform(0.25, 0.5))
    accent = ground + float(rng.uniform(0.15, 0.35))
    near = ground + float(rng.uniform(-0.06, 0.06))
    hues = [mood(hue) for hue in (base, ground - 0.04, near, ground, accent, ground, accent)]
    strength = (0.75, 0.65, 0.7, 0.7, 0.85, 0.7, 0.6)
    if equal_luminance:
        return tuple(color_at(h, int(v), s) for h, v, s in zip(hues, levels, strength, strict=True))
    lights = [(level - 150) / 110 for level in SCENE_LEVELS]
    return tuple(natural(h, s, v) for h, v, s in zip(hues, lights, strength, strict=True))
