"""Colours of toon chapters: what the gray page says about them, and what it does not."""

import itertools

import numpy as np
from PIL import Image

from colorflow.toon import ToonSpec, draw_page
from colorflow.toon.colors import (
    CAST_RANGE,
    SCENE_LEVELS,
    cast_colors,
    color_at,
    dice,
    luma,
    own_levels,
    scene_colors,
    wheel,
)


def test_gray_is_known_from_the_levels_alone():
    """Two paintings of one drawing, same levels, opposite hues: the gray pages agree."""
    for hue in np.arange(24) / 24:
        for level in (104, 132, 160, 188, 226):
            color, other = color_at(float(hue), level, 0.9), color_at(float(hue) + 0.5, level, 0.9)
            assert luma(color) == luma(other) == level
            assert Image.new("RGB", (1, 1), color).convert("L").getpixel((0, 0)) == level
            assert max(color) - min(color) > (20 if level > 200 else 45)  # and it is a colour


SPOKES = np.array([wheel(k / 120) for k in range(120)])
SPOKES -= SPOKES.mean(axis=1, keepdims=True)
SPOKES /= np.linalg.norm(SPOKES, axis=1, keepdims=True)


def hue_of(color: tuple[int, int, int]) -> float:
    """Place on the wheel, by the direction of its chroma."""
    return float(np.argmax(SPOKES @ (np.array(color) - np.mean(color)))) / 120


def test_luma_and_part_say_nothing_about_hue():
    """Rayleigh's test: within each (part, luma) the hues are uniform; the same test sees the other mode's tie."""
    seeds = range(160)
    tables = [cast_colors(dice("toon-colors", seed), 5, True) for seed in seeds]
    groups: dict[tuple[int, int], list[float]] = {}
    for table in tables:
        for row in table:
            for part, color in enumerate(row):
                groups.setdefault((part, luma(color)), []).append(hue_of(color))
    assert {level for _, level in groups} == {104, 132, 160, 188}
    statistics = {key: 2 * len(h) * abs(np.exp(2j * np.pi * np.array(h)).mean()) ** 2 for key, h in groups.items()}
    assert min(len(hues) for hues in groups.values()) > 200
    assert max(statistics.values()) < 16  # chi-squared with 2 degrees of freedom: p = 3e-4 each, 12 groups
    plain = [c for seed in seeds for row in cast_colors(dice("toon-colors", seed), 5, False) for c in row]
    light = np.array([luma(color) for color in plain])
    hues = np.array([hue_of(color) for color in plain])[light > np.median(light)]
    assert 2 * len(hues) * abs(np.exp(2j * np.pi * hues).mean()) ** 2 > 100


def test_the_luma_of_a_place_does_not_depend_on_its_hues():
    levels = {tuple(luma(c) for c in scene_colors(dice("toon-colors", seed), True)) for seed in range(40)}
    assert len(levels) == 1
    assert len({tuple(luma(c) for c in scene_colors(dice("x", seed), False)) for seed in range(40)}) == 40


def test_every_colour_may_have_a_luma_of_its_own_that_says_nothing_about_hue():
    places: list[tuple[float, float]] = []
    for seed in range(120):
        page = draw_page(seed, 0, ToonSpec(size=(48, 48), supersample=1, own_luminance=True))
        colors = [color for row in page.colors for color in row]
        assert len({luma(color) for color in colors}) == len(colors)
        places += [(luma(color), hue_of(color)) for color in colors]
    lumas, hues = np.array(places).T
    assert lumas.min() == CAST_RANGE[0]
    assert lumas.max() == CAST_RANGE[1]
    for low in range(92, 188, 24):
        some = hues[(lumas >= low) & (lumas < low + 24)]
        assert 2 * len(some) * abs(np.exp(2j * np.pi * some).mean()) ** 2 < 16


def test_a_chapter_of_one_mood_keeps_to_a_part_of_the_wheel_and_chapters_differ():
    centres = []
    for seed in range(40):
        page = draw_page(seed, 0, ToonSpec(size=(48, 48), supersample=1, hue_span=0.2))
        turns = np.exp(2j * np.pi * np.array([hue_of(color) for row in page.colors for color in row]))
        centres.append(np.angle(turns.mean()) / (2 * np.pi))
        away = np.abs(np.angle(turns / turns.mean())) / (2 * np.pi)
        assert away.max() < 0.2
    assert abs(np.exp(2j * np.pi * np.array(centres)).mean()) < 0.4


def test_scenery_of_one_use_has_another_luma_in_every_place():
    _, scenes = own_levels(dice("x", 1), 3, 3)
    assert len(set(scenes.ravel())) == scenes.size
    for one, other in itertools.pairwise(np.argsort(SCENE_LEVELS)):
        assert scenes[:, one].max() < scenes[:, other].min()
