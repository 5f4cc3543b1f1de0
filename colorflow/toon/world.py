"""What all pages of a chapter share: the cast, the places, the palette."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from colorflow.toon.brush import FIRST_PART, FIRST_SCENE, INK, SCENE_SLOTS, SOFT_INK
from colorflow.toon.cast import Design, draw_cast
from colorflow.toon.colors import SCENE_LEVELS, Mood, cast_colors, dice, own_levels, scene_colors
from colorflow.toon.scenery import Place, draw_places
from colorflow.toon.spec import PARTS, Color, ToonSpec

PLACES = 3

SOFT = 92
"""Gray of the thinner lines of the scenery (our choice: they stay behind the cast's black)."""


@dataclass(frozen=True)
class World:
    """A chapter before its first page.

    Attributes:
        seed: Seed of the chapter.
        cast: Shapes of its characters.
        colors: ``colors[character][part]``.
        places: Its locations.
        palette: 256 colours of the index map (see ``brush``).
    """

    seed: int
    cast: tuple[Design, ...]
    colors: tuple[tuple[Color, ...], ...]
    places: tuple[Place, ...]
    palette: tuple[Color, ...]


@lru_cache(maxsize=16)
def make_world(seed: int, spec: ToonSpec) -> World:
    """Cast, places and colours of the chapter ``seed``.

    Shapes and colours come from separate streams: the same chapter can be painted in two ways.
    """
    rng = dice("toon-shapes", seed)
    count = int(rng.integers(spec.min_cast, spec.max_cast + 1))
    cast, places = draw_cast(rng, count), draw_places(rng, PLACES)
    colors, palette = paint_world(seed, count, spec)
    return World(seed, cast, colors, places, palette)


def paint_world(seed: int, count: int, spec: ToonSpec) -> tuple[tuple[tuple[Color, ...], ...], tuple[Color, ...]]:
    """Colours of a chapter of ``count`` characters, by a seed: ``colors[character][part]``, and the palette.

    Any chapter of as large a cast can be painted with them: its index maps do not depend on the colours.
    """
    paint = dice("toon-colors", seed)
    own = own_levels(dice("toon-luma", seed), count, PLACES) if spec.own_luminance else None
    mood = Mood(float(dice("toon-mood", seed).random()), spec.hue_span)
    colors = cast_colors(paint, count, spec.equal_luminance, None if own is None else own[0], mood)
    palette: list[Color] = [(255, 255, 255)] * 256
    palette[INK], palette[SOFT_INK] = (0, 0, 0), (SOFT, SOFT, SOFT)
    flat = [color for row in colors for color in row]
    palette[FIRST_PART : FIRST_PART + len(flat)] = flat
    for slot in range(PLACES):
        start = FIRST_SCENE + SCENE_SLOTS * slot
        scene = scene_colors(paint, spec.equal_luminance, SCENE_LEVELS if own is None else own[1][slot], mood)
        palette[start : start + len(scene)] = scene
    return colors, tuple(palette)


def cast_of(page: Image.Image) -> int:
    """Characters in the chapter of a page of palette indices: those that its palette has colours for."""
    palette = page.getpalette() or []
    parts = palette[3 * FIRST_PART : 3 * FIRST_SCENE]
    colored = [parts[place : place + 3] != [255, 255, 255] for place in range(0, len(parts), 3)]
    return sum(colored) // len(PARTS)
