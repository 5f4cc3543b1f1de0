"""Palette changes: luma kept, one colour to one colour, the same for page and references."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_transforms import FULL, sample

from colorflow.canvas import query_box
from colorflow.data.palette import PaletteShift, recolor
from colorflow.utils.seeding import generator

PALETTE = PaletteShift()
ANGLES = st.floats(0, 6.283)


def swatches():
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3))


@given(ANGLES, st.booleans(), st.floats(0, 3))
def test_the_gray_page_stays(angle, mirrored, factor):
    changed = recolor(swatches(), angle, mirrored, factor)
    difference = np.asarray(changed.convert("L"), int) - np.asarray(swatches().convert("L"), int)
    assert np.abs(difference).max() <= 1


@given(ANGLES, st.booleans())
def test_gray_colours_stay_and_equal_colours_stay_equal(angle, mirrored):
    grays = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2))
    assert np.array_equal(np.asarray(recolor(grays, angle, mirrored, 1.5)), np.asarray(grays))
    twice = Image.fromarray(np.concatenate([np.asarray(swatches())] * 2))
    changed = np.asarray(recolor(twice, angle, mirrored, 1.2))
    assert np.array_equal(changed[:64], changed[64:])


def test_turns_give_the_colours_back_and_half_a_turn_is_the_complement():
    dull = Image.fromarray((np.asarray(swatches()) // 8 + 112).astype(np.uint8))
    back = recolor(recolor(dull, 1.0, False, 1.0), -1.0, False, 1.0)
    assert np.abs(np.asarray(back, int) - np.asarray(dull, int)).max() <= 2
    mirrored = recolor(recolor(dull, 0.7, True, 1.0), 0.7, True, 1.0)
    assert np.abs(np.asarray(mirrored, int) - np.asarray(dull, int)).max() <= 2
    red = Image.new("RGB", (1, 1), (140, 110, 110))
    luma = 0.299 * 140 + 0.701 * 110
    expected = [round(2 * luma - level) for level in (140, 110, 110)]
    assert recolor(red, np.pi, False, 1.0).getpixel((0, 0)) == pytest.approx(expected, abs=1)


def test_page_and_references_change_together_and_the_query_does_not():
    plain, shifted = FULL, replace(FULL, palette=PALETTE)
    before, after = (transform.canvases(sample(), 0, 3) for transform in (plain, shifted))
    drawn = torch.rand(4, generator=generator(0, "palette", 3)).tolist()
    least, most = PALETTE.saturation
    expected = recolor(before[0], 2 * np.pi * drawn[1], drawn[2] < 0.5, least + (most - least) * drawn[3])
    assert np.array_equal(np.asarray(after[0]), np.asarray(expected))
    assert not np.array_equal(np.asarray(after[0]), np.asarray(before[0]))
    box = query_box(FULL.page_size)
    gray = [np.asarray(canvases[1].crop(box), int) for canvases in (before, after)]
    assert np.abs(gray[0] - gray[1]).max() <= 1


def test_validation_keeps_the_colours_and_samples_differ():
    shifted = replace(FULL, palette=PALETTE)
    assert shifted.for_validation() == FULL
    first, again, other = (shifted(sample(), 0, position).target for position in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_probability_is_a_share_of_samples():
    picture = Image.new("RGB", (2, 2), (200, 90, 60))
    changed = [PaletteShift(probability=0.3)(picture, generator(place)) != picture for place in range(400)]
    assert 0.2 < np.mean(changed) < 0.4
    assert not any(PaletteShift(probability=0)(picture, generator(place)) != picture for place in range(20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.5}, r"expected a probability in \[0, 1\], got 1.5"),
        ({"saturation": (1.2, 0.8)}, "expected saturation as"),
        ({"saturation": (-1, 1)}, "expected saturation as"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PaletteShift(**options)
