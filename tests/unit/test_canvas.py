"""Geometry: what lies where on the canvas, for any page size."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from colorflow.canvas import (
    Size,
    canvas_size,
    fit_page,
    query_box,
    query_mask,
    query_patches,
    reference_patches,
    slot_box,
    stitch,
    training_window,
)

SLOTS = [(quadrant, rank) for quadrant in range(4) for rank in range(3)]
even_sizes = st.tuples(st.integers(4, 200), st.integers(4, 200)).map(lambda s: (2 * s[0], 2 * s[1]))
any_sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))


def noise(size: Size, seed: int = 0) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- fit_page


@settings(deadline=None, max_examples=50)
@given(any_sizes, even_sizes)
def test_fit_page_always_gives_the_size(source: Size, target: Size) -> None:
    page = fit_page(Image.new("RGB", source, (7, 8, 9)), target)
    assert (page.size, page.mode) == (target, "RGB")
    assert page.getextrema() == ((7, 7), (8, 8), (9, 9))


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ((300, 100), (64, 64), (100, 100)),
        ((100, 300), (64, 64), (100, 100)),
        ((401, 100), (60, 40), (150, 100)),
        ((97, 301), (80, 128), (97, 155)),
    ],
)
def test_far_aspects_are_cropped_at_the_centre(source: Size, target: Size, kept: Size) -> None:
    """One pixel off and the red around the kept part shows."""
    page = Image.new("RGB", source, "red")
    page.paste(noise(kept), ((source[0] - kept[0]) // 2, (source[1] - kept[1]) // 2))
    expected = noise(kept).resize(target, Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(fit_page(page, target)), np.asarray(expected))


def test_close_aspects_are_stretched_whole() -> None:
    """14 % wider than square is stretched, so a frame around the page survives; 15 % is cropped."""
    for width, kept in ((114, True), (116, False)):
        page = Image.new("RGB", (width, 100), "white")
        page.paste("red", (0, 0, 3, 100))
        assert (fit_page(page, (100, 100)).getpixel((0, 50)) == (255, 0, 0)) == kept


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_fit_page_takes_any_mode(mode: str) -> None:
    page = fit_page(noise((50, 40)).convert(mode), (16, 16))
    assert (page.mode, page.size) == ("RGB", (16, 16))


# --- patches


@given(st.tuples(st.integers(4, 127), st.integers(4, 127)))
def test_patches_are_three_quarters_in_the_four_corners(size: Size) -> None:
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    page = Image.fromarray(np.stack([columns, rows, rows * 0], 2).astype(np.uint8))
    spans = [(patch.size, patch.getpixel((0, 0))[:2]) for patch in query_patches(page)]
    side, step = (width // 4 * 3, height // 4 * 3), (width // 4, height // 4)
    assert spans == [(side, (0, 0)), (side, (step[0], 0)), (side, (0, step[1])), (side, step)], "TL, TR, BL, BR"


def test_reference_patches_begin_with_the_whole_page() -> None:
    page = noise((32, 48))
    views = reference_patches(page)
    assert len(views) == 5
    assert np.array_equal(np.asarray(views[0]), np.asarray(page))
    assert [np.asarray(a).tolist() for a in views[1:]] == [np.asarray(b).tolist() for b in query_patches(page)]


# --- slots


@settings(deadline=None, max_examples=60)
@given(even_sizes)
def test_slots_and_query_tile_the_canvas(size: Size) -> None:
    """With their 1-pixel borders the slots and the query cover all but what rounding leaves, once."""
    width, height = canvas_size(size)
    hits = np.zeros((height, width), int)
    left, top, right, bottom = query_box(size)
    hits[top:bottom, left:right] += 1
    for slot in SLOTS:
        left, top, right, bottom = slot_box(size, *slot)
        assert 0 < left < right < width
        assert 0 < top < bottom < height
        assert (right - left, bottom - top) == (size[0] // 2 - 2, size[1] // 2 - 2)
        hits[top - 1 : bottom + 1, left - 1 : right + 1] += 1
    assert (hits == 1).all()


@pytest.mark.parametrize("quadrant", range(4))
def test_ranks_lie_beside_above_and_diagonal(quadrant: int) -> None:
    """Best beside its quadrant, second above or below it, third in the canvas's corner (paper Fig. 2)."""
    size = (64, 96)
    width, height = canvas_size(size)
    query = query_box(size)
    center = (width / 2, height / 2)
    is_left, is_top = quadrant in (0, 2), quadrant in (0, 1)
    beside, upright, corner = (slot_box(size, quadrant, rank) for rank in range(3))
    for _, _, right, bottom in (beside, upright, corner):
        assert (right <= center[0]) == is_left
        assert (bottom <= center[1]) == is_top
    assert query[1] <= beside[1] < beside[3] <= query[3]
    assert beside[2] <= query[0] or beside[0] >= query[2]
    assert query[0] <= upright[0] < upright[2] <= query[2]
    assert upright[3] <= query[1] or upright[1] >= query[3]
    assert (corner[0], corner[2])[not is_left] == (1 if is_left else width - 1)
    assert (corner[1], corner[3])[not is_top] == (1 if is_top else height - 1)


@pytest.mark.parametrize("slot", [(4, 0), (0, 3), (-1, 0), (0, -1)])
def test_slots_that_do_not_exist(slot: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="quadrant 0 to 3"):
        slot_box((32, 32), *slot)
    with pytest.raises(ValueError, match="quadrant 0 to 3"):
        stitch(noise((32, 32)), {slot: noise((8, 8))})


@pytest.mark.parametrize("size", [(33, 32), (32, 33), (6, 32)])
def test_pages_without_a_canvas(size: Size) -> None:
    with pytest.raises(ValueError, match=f"got {size[0]} x {size[1]}"):
        canvas_size(size)


# --- stitch


def test_stitch_puts_everything_in_its_place() -> None:
    size = (32, 48)
    query = noise(size)
    colors = {slot: (20 * slot[0] + 10, 60 * slot[1] + 20, 77) for slot in SLOTS}
    canvas = np.asarray(stitch(query, {slot: Image.new("RGB", (40, 9), color) for slot, color in colors.items()}))
    expected = np.full((96, 64, 3), 255)
    expected[24:72, 16:48] = np.asarray(query)
    for slot, color in colors.items():
        left, top, right, bottom = slot_box(size, *slot)
        expected[top:bottom, left:right] = color
    assert np.array_equal(canvas, expected)
    assert Counter(map(tuple, canvas.reshape(-1, 3)))[colors[0, 0]] == 14 * 22


def test_stitch_without_references_is_white_around_the_query() -> None:
    query = noise((32, 48))
    expected = ImageOps.expand(query, (16, 24), "white")
    assert np.array_equal(np.asarray(stitch(query, {})), np.asarray(expected))


def test_stitch_leaves_missing_slots_white() -> None:
    black = Image.new("L", (50, 50), 0)
    canvas = stitch(Image.new("L", (32, 32), 0), {(3, 1): black})
    assert canvas.mode == "RGB"
    for slot in SLOTS:
        assert canvas.crop(slot_box((32, 32), *slot)).getextrema()[0] == ((0, 0) if slot == (3, 1) else (255, 255))


# --- masks


@settings(deadline=None, max_examples=40)
@given(even_sizes)
def test_query_mask_is_zero_on_the_query_and_one_elsewhere(size: Size) -> None:
    width, height = canvas_size(size)
    mask = query_mask(size)
    assert (mask.shape, mask.dtype) == ((1, height, width), torch.float32)
    left, top, right, bottom = query_box(size)
    blur_x, blur_y = (2 + 2 * side // 512 for side in (width, height))
    inner = mask[0, top + blur_y : bottom - blur_y, left + blur_x : right - blur_x]
    assert (inner == 0).all()
    outer = torch.ones(height, width, dtype=torch.bool)
    outer[max(0, top - blur_y) : bottom + blur_y, max(0, left - blur_x) : right + blur_x] = False
    assert (mask[0][outer] == 1).all()
    assert outer.any()
    assert mask.min() >= 0
    assert mask.max() <= 1


# --- training window

ranges = st.tuples(st.floats(1, 2), st.floats(1, 2)).map(sorted)


@settings(deadline=None, max_examples=200)
@given(even_sizes, ranges, st.integers(0, 2**32))
def test_training_window_holds_the_query_with_the_pages_aspect(size: Size, scales: list[float], seed: int) -> None:
    left, top, right, bottom = training_window(size, seeded(seed), *scales)
    query, canvas = query_box(size), canvas_size(size)
    assert 0 <= left <= query[0] < query[2] <= right <= canvas[0]
    assert 0 <= top <= query[1] < query[3] <= bottom <= canvas[1]
    width, height = right - left, bottom - top
    # Some scale in range rounds to this width and height both.
    low = max((width - 0.5) / size[0], (height - 0.5) / size[1])
    high = min((width + 0.5) / size[0], (height + 0.5) / size[1])
    assert low <= high
    assert low <= scales[1]
    assert high >= scales[0]


def test_training_window_reaches_both_ends() -> None:
    size = (48, 80)
    assert training_window(size, seeded(0), 1, 1) == query_box(size)
    assert training_window(size, seeded(0), 2, 2) == (0, 0, 96, 160)


@pytest.mark.parametrize(("scale", "places"), [(1.25, (5, 9)), (1.5, (9, 17)), (1.75, (5, 9))])
def test_training_window_visits_every_place_evenly(scale: float, places: tuple[int, int]) -> None:
    """From the query at the window's one edge to the other, or from one edge of the canvas to the other."""
    size, source, draws = (16, 32), seeded(0), 4000
    boxes = [training_window(size, source, scale, scale) for _ in range(draws)]
    for axis, count in enumerate(places):
        first = max(0, round(size[axis] * (1.5 - scale)))
        found = Counter(box[axis] for box in boxes)
        assert sorted(found) == list(range(first, first + count))
        assert max(abs(visits * count / draws - 1) for visits in found.values()) < 0.35


def test_training_window_scales_are_uniform() -> None:
    source = seeded(1)
    boxes = [training_window((400, 400), source) for _ in range(4000)]
    scales = np.array([(right - left) / 400 for left, _, right, _ in boxes])
    found = np.histogram(scales, bins=np.linspace(1.25, 2, 6))[0] / len(scales)
    assert np.abs(found - 0.2).max() < 0.03


def test_training_window_depends_on_its_generator_alone() -> None:
    one = [training_window((64, 96), source) for source in [seeded(3)] for _ in range(5)]
    torch.rand(7)
    assert one == [training_window((64, 96), source) for source in [seeded(3)] for _ in range(5)]
    assert len(set(one)) > 1
    states = []
    for scales in ((1, 1), (2, 2), (1.25, 2)):
        source = seeded(3)
        training_window((64, 96), source, *scales)
        states.append(torch.rand(1, generator=source).item())
    assert len(set(states)) == 1, "the number of draws must not depend on the settings"


@pytest.mark.parametrize("scales", [(0.9, 2), (1.25, 2.1), (1.8, 1.5), (float("nan"), 2)])
def test_training_window_refuses_impossible_scales(scales: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="min_scale"):
        training_window((32, 32), seeded(0), *scales)
