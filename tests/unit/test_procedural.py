"""Procedural screentones: ink is exact, screens lie as told, lines and blacks stay, one generator makes one page."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from tiny.styles import seeded

from colorflow.styles.procedural.regions import find_regions
from colorflow.styles.procedural.scan import Scan
from colorflow.styles.procedural.screens import KINDS, LEVELS, SPOTS, Screen, lattice
from colorflow.styles.procedural.strokes import closing, opening
from colorflow.styles.procedural.style import ProceduralStyle
from colorflow.styles.procedural.tones import REFERENCE_HEIGHT, ToneRanges, draw_sheets

CLEAN = ProceduralStyle(scan=None)
few = settings(max_examples=25, deadline=None)


def pixels(image):
    levels = np.asarray(image)
    assert (levels == levels[..., :1]).all()
    return levels[..., 0].astype(float)


def blobs(size, seed):
    """A page of smooth colours."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@few
@given(
    kind=st.sampled_from(KINDS),
    cell=st.floats(4, 16),
    angle=st.one_of(st.sampled_from([0.0, 45.0, 90.0, 60.0, 75.0]), st.floats(0, 180)),
    ink=st.integers(0, LEVELS),
    phase=st.tuples(st.integers(0, 4096), st.integers(0, 4096)),
)
def test_printed_ink_is_what_was_asked_for(kind, cell, angle, ink, phase):
    thresholds = Screen(kind, cell, angle, phase).thresholds(256, 256)
    assert thresholds.dtype == np.uint8
    assert abs((ink > thresholds).mean() - ink / LEVELS) < 0.02


@few
@given(
    luma=st.integers(80, 200), cell=st.floats(4, 8), seed=st.integers(0, 2**31), bitonal=st.booleans(),
    tint=st.booleans(),
)  # fmt: skip
def test_a_flat_page_is_as_light_as_its_luminance(luma, cell, seed, bitonal, tint):
    """Within 2 % for cells of 4 pixels and more; contrast, exponent and the steps of sold tone are other requests."""
    height = 256
    cells = (cell * REFERENCE_HEIGHT / height,) * 2
    ranges = ToneRanges(cell=cells, usual=0, exponent=(1, 1), plain=0, flats=False)
    style = ProceduralStyle(ranges, None, bitonal=float(bitonal), contrast=False)
    color = (luma, luma, luma) if not tint else (min(255, luma + 40), luma, max(0, luma - 60))
    page = Image.new("RGB", (200, height), color)
    expected = page.convert("L").getpixel((0, 0)) / 255
    assert abs(pixels(style(page, seeded(seed))).mean() / 255 - expected) < 0.02


@pytest.mark.parametrize("flat", [0.1, 0.3, 0.5, 0.7])
def test_flat_areas_get_tone_as_it_is_sold(flat):
    ranges = ToneRanges(cell=(24.0, 30.0), usual=0, exponent=(1, 1), plain=0, continuous=0)
    style = ProceduralStyle(ranges, None, bitonal=0, contrast=False)
    asked = round(255 * (1 - flat - 0.03))
    page = Image.new("RGB", (200, 256), (asked,) * 3)
    assert abs(1 - pixels(style(page, seeded())).mean() / 255 - flat) < 0.01


@few
@given(cell=st.floats(4, 20), angle=st.floats(0, 180), kind=st.sampled_from(sorted(SPOTS)))
def test_screens_have_their_cell_and_angle(cell, angle, kind):
    """Both waves of the lattice (lines have one) stand out of the spectrum; the mirrored lattice's do not."""
    size = 256
    printed = (Screen(kind, cell, angle).thresholds(size, size) < LEVELS * 0.3).astype(float)
    spectrum = np.abs(np.fft.fft2((printed - printed.mean()) * np.hanning(size) * np.hanning(size)[:, None]))
    a, b = lattice(cell, angle)
    for x, y in [(a, b)] if kind == "line" else [(a, b), (-b, a)]:
        row, column = (np.arange(-1, 2) + round(size * part / (a * a + b * b)) for part in (y, x))
        assert spectrum[np.ix_(row % size, column % size)].max() > 0.5 * spectrum.max()
        if 15 < angle % 45 < 30:
            assert spectrum[np.ix_(-row % size, column % size)].max() < 0.3 * spectrum.max()
    assert abs(np.hypot(a, b) - cell) < 0.75


def test_grain_has_no_lattice():
    spectrum = np.abs(np.fft.rfft2((Screen("grain", 8).thresholds(128, 128) < 100) - 100 / LEVELS)) ** 2
    regular = np.abs(np.fft.rfft2((Screen("round", 8, 0).thresholds(128, 128) < 100) - 100 / LEVELS)) ** 2
    assert spectrum.max() / spectrum.sum() < 0.01 < 0.1 < regular.max() / regular.sum()


@few
@given(width=st.integers(1, 40), height=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_any_size_gives_an_rgb_page_of_that_size(width, height, seed):
    page = blobs((width, height), seed)
    for style in (CLEAN, ProceduralStyle(scan=Scan(share=1))):
        image = style(page, seeded(seed))
        assert (image.mode, image.size) == ("RGB", (width, height))
        pixels(image)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_any_mode_is_taken(mode):
    assert CLEAN(blobs((61, 83), 3).convert(mode), seeded()).size == (61, 83)


@few
@given(seed=st.integers(0, 2**31), size=st.sampled_from([(97, 141), (256, 301)]))
def test_one_generator_one_page(seed, size):
    page, style = blobs(size, seed), ProceduralStyle()
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the global state must not matter)
    first = style(page, seeded(seed)).tobytes()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert style(page, seeded(seed)).tobytes() == first
    assert any(style(page, seeded(seed + other)).tobytes() != first for other in (1, 2))


@few
@given(
    seed=st.integers(0, 2**31), level=st.integers(0, 50), width=st.integers(1, 12), bitonal=st.booleans(),
)  # fmt: skip
def test_lines_darker_than_a_fifth_stay_dark(seed, level, width, bitonal):
    """Thin ones wherever they stand out; thick ones, which count as areas, where it is not night."""
    page = np.maximum(np.array(blobs((120, 150), seed)), 70 if width < 5 else 128)
    where = np.zeros(page.shape[:2], dtype=bool)
    where[40 : 40 + width] = where[:, 70 : 70 + width] = True
    page[where] = level
    printed = pixels(ProceduralStyle(scan=None, bitonal=float(bitonal))(Image.fromarray(page), seeded(seed)))
    assert printed[where].max() <= 51
    assert printed[~where].max() > 0


@few
@given(seed=st.integers(0, 2**31))
def test_strong_lines_survive_the_scan(seed):
    page = np.array(blobs((120, 150), seed))
    page[40:44] = 0
    scanned = pixels(ProceduralStyle(scan=Scan(share=1))(Image.fromarray(page), seeded(seed)))
    assert scanned[41:43].mean() < 0.4 * 255


@pytest.mark.parametrize(("level", "expected"), [(255, 255), (0, 0), (20, 20)])
def test_paper_and_black_are_left_alone(level, expected):
    """A dark area is as dark as it was, or darker; nothing is printed on white."""
    page = Image.new("RGB", (90, 120), (level,) * 3)
    for seed in range(8):
        printed = pixels(CLEAN(page, seeded(seed)))
        assert printed.max() <= expected
        assert level < 255 or printed.min() == 255


def test_bitonal_pages_are_black_and_white():
    style = ProceduralStyle(ToneRanges(plain=1), None, bitonal=1)
    for seed in range(10):
        assert set(np.unique(pixels(style(blobs((140, 200), seed), seeded(seed))))) <= {0, 255}
    soft = ProceduralStyle(scan=None, bitonal=0)(blobs((140, 200), 1), seeded())
    assert len(np.unique(pixels(soft))) > 3


@few
@given(seed=st.integers(0, 2**31), width=st.integers(1, 4))
def test_night_scenes_are_toned_and_their_lines_stay(seed, width):
    """Where all is dark an inker uses tone; a line in it is still a line."""
    page = np.array(blobs((120, 300), seed)) // 6 + 25
    page[100 : 100 + width] = page[:, 60 : 60 + width] = 4
    night = Image.fromarray(page.astype(np.uint8))
    printed, plain = (pixels(ProceduralStyle(scan=None, contrast=on)(night, seeded(seed))) for on in (True, False))
    assert printed[100 : 100 + width].max() <= 51
    assert printed[:, 60 : 60 + width].max() <= 51
    assert printed.mean() > 2 * plain.mean()


def test_gradients_stay_gradients():
    ramp = np.linspace(255, 60, 320).round().astype(np.uint8)
    page = Image.fromarray(np.tile(ramp[:, None], (1, 240))).convert("RGB")
    style = ProceduralStyle(ToneRanges(plain=0, exponent=(1, 1), usual=1), None, bitonal=0, contrast=False)
    for seed in range(5):
        bands = pixels(style(page, seeded(seed))).reshape(10, 32, 240).mean((1, 2))
        assert (np.diff(bands) < 2).all()
        assert np.abs(bands - ramp.reshape(10, 32).mean(1))[2:9].max() < 10


def test_colours_of_equal_luminance_look_alike_and_shapes_stay_apart():
    """Tone tells luminance, so a colour is not given away; an outline keeps two such areas apart."""
    page = np.full((160, 160, 3), (200, 80, 60), dtype=np.uint8)
    page[:, 80:] = (58, 148, 80)  # the same luminance
    page[:, 78:82] = 0
    ranges = ToneRanges(plain=0, usual=1, flats=False)  # sold tone comes in steps of 10 %
    printed = pixels(ProceduralStyle(ranges, None, bitonal=0)(Image.fromarray(page), seeded(2)))
    assert abs(printed[:, :70].mean() - printed[:, 90:].mean()) < 0.02 * 255
    assert printed[:, 78:82].max() == 0


@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("shape", [(40, 31), (40, 31, 3), (1, 1), (2, 7)])
def test_morphology_is_scipys(shape, window):
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    square = (window, window, *[1] * (len(shape) - 2))
    dilated = ndimage.maximum_filter(levels, square, mode="nearest")
    eroded = ndimage.minimum_filter(levels, square, mode="nearest")
    assert np.array_equal(closing(levels, window), ndimage.minimum_filter(dilated, square, mode="nearest"))
    assert np.array_equal(opening(levels, window), ndimage.maximum_filter(eroded, square, mode="nearest"))


def test_regions_end_where_colours_do():
    page = np.full((300, 400, 3), (220, 60, 60), dtype=np.uint8)
    page[:, 173:] = (60, 60, 220)
    regions = find_regions(Image.fromarray(page))
    assert len(np.unique(regions.labels)) == 2
    assert (regions.labels[:, :173] == regions.labels[0, 0]).all()
    assert (regions.labels[:, 173:] == regions.labels[0, -1]).all()
    assert np.allclose(sorted(regions.size), [173 / 400, 227 / 400], atol=0.01)
    assert regions.fading.max() == 0
    ramp = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[:, None], (1, 300))
    soft = find_regions(Image.fromarray(ramp).convert("RGB"))
    assert (soft.fading[soft.size > 0.05] == 1).all() or len(soft.size) == 1


def test_cells_are_drawn_from_the_documented_range():
    rng, ranges = np.random.default_rng(0), ToneRanges()
    sheets = [draw_sheets(rng, ranges, 1.0, 2)[0] for _ in range(2000)]
    cells = np.array([sheet.cell / 2 for sheet in sheets])
    assert 2.5 <= cells.min() < 2.7
    assert 11 < cells.max() <= 12
    inside = (cells >= 3) & (cells <= 6)
    assert 0.72 < inside.mean() < 0.82  # 60 %, and of the others ln 2 / ln 4.8
    angles = np.array([sheet.angle for sheet in sheets])
    assert abs((angles == 45).mean() - 0.65) < 0.04
    assert abs(np.isin(angles, [0, 90]).mean() - 0.10) < 0.03
    kinds = [sheet.kind for sheet in sheets]
    assert abs(kinds.count("round") / 2000 - 0.70) < 0.04
    assert abs(kinds.count("grain") / 2000 - 0.10) < 0.03


def test_a_scan_degrades_its_share_of_pages():
    page = CLEAN(blobs((120, 150), 1), seeded()).convert("L")
    results = [Scan(share=0.3)(page, np.random.default_rng(seed)) for seed in range(200)]
    changed = np.mean([result.tobytes() != page.tobytes() for result in results])
    assert 0.2 < changed < 0.4
    assert {result.size for result in results} == {page.size}
    assert Scan(share=0)(page, np.random.default_rng(0)) is page
    nothing = Scan(share=1, rescale=1, blur=0, paper=1, ink=0, uneven=0, jpeg=(95, 95))
    mildest = [
        np.abs(np.asarray(nothing(page, np.random.default_rng(s))) - np.asarray(page, float)).mean() for s in range(20)
    ]
    harsh = Scan(share=1, rescale=0.3, blur=3, paper=0.5, ink=0.4, uneven=0.5, jpeg=(20, 30))
    worst = [
        np.abs(np.asarray(harsh(page, np.random.default_rng(s))) - np.asarray(page, float)).mean() for s in range(20)
    ]
    assert np.mean(mildest) < 6 < 20 < np.mean(worst)


def test_the_description_holds_every_range():
    text = json.loads(json.dumps(ProceduralStyle(bitonal=0.1).describe()))
    assert (text["name"], text["class"], text["bitonal"]) == ("procedural", "ProceduralStyle", 0.1)
    assert text["ranges"]["cell"] == [2.5, 12.0]
    assert text["scan"]["jpeg"] == [60, 95]
    assert ProceduralStyle(scan=None).describe()["scan"] is None
