"""The two rows without weights: what they know, what they cannot, any size, any pool."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000
from tiny.baselines import retriever
from tiny.benchmark import color_page, colored_pool

from colorflow.baselines import color_transfer, patch_copy
from colorflow.baselines.color_transfer import ColorTransfer, color_table, quadrant_places
from colorflow.baselines.lab import lightness, to_lab
from colorflow.baselines.nearest import NoReferenceError
from colorflow.baselines.patch_copy import PatchCopy
from colorflow.canvas import query_patches
from colorflow.retrieval.retriever import reference_pool
from colorflow.retrieval.settings import RetrievalSettings

METHODS = [ColorTransfer(retriever()), PatchCopy(retriever())]


def gray(page):
    return page.convert("L").convert("RGB")


def error(page, truth):
    return deltaE_ciede2000(to_lab(page), to_lab(truth)).mean()


def two_tone(size=(48, 64), dark=(120, 20, 30), light=(180, 220, 250)):
    """A page whose lightness tells its colours: a dark red block on light blue."""
    page = Image.new("RGB", size, light)
    page.paste(dark, (size[0] // 3, size[1] // 4, size[0] - 4, size[1] - 9))
    return page


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_colours_that_lightness_tells_come_back(method):
    truth = two_tone()
    pool = reference_pool(["r"], [two_tone().transpose(Image.Transpose.ROTATE_180)])
    result = method.colorize(gray(truth), pool, seed=0)
    assert error(result, truth) < 0.25 * error(gray(truth), truth)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("size", [(40, 56), (33, 17), (16, 300), (1000, 40)])
def test_any_size_and_any_size_of_references(method, size):
    page = gray(color_page(1, size))
    for pool in (colored_pool(1), colored_pool(2, (70, 20))):
        result = method.colorize(page, pool, seed=0)
        assert (result.mode, result.size) == ("RGB", size)
        assert result.tobytes() == method.colorize(page, pool, seed=9).tobytes()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_gray_references_give_a_gray_page_and_none_an_error(method):
    page = gray(color_page(1))
    pool = reference_pool(["r"], [gray(color_page(2))])
    levels = np.asarray(method.colorize(page, pool, seed=0)).astype(int)
    assert np.abs(levels - np.asarray(page)).max() <= 1
    with pytest.raises(NoReferenceError, match=method.name):
        method.colorize(page, colored_pool(0), seed=0)


def test_the_table_is_the_mean_colour_of_a_lightness():
    patch = two_tone()
    table = color_table(patch)
    for spot in ((0, 0), (20, 20)):
        level = round(float(lightness(patch)[spot[1], spot[0]]))
        assert np.allclose(table[level], to_lab(patch)[spot[1], spot[0], 1:], atol=0.5)
    assert np.isfinite(table).all()
    mixed = Image.new("RGB", (64, 64), (255, 0, 0))  # red and the gray of its luminance: half the chroma
    mixed.paste(mixed.convert("L").convert("RGB").crop((0, 0, 32, 64)), (0, 0))
    assert np.allclose(color_table(mixed)[round(float(lightness(mixed)[0, 0]))], to_lab(mixed)[0, 63, 1:] / 2, atol=0.5)


@pytest.mark.parametrize("size", [(40, 56), (43, 57)])
def test_quadrants_cover_the_page_and_are_those_of_the_query(size):
    covered = np.zeros((size[1], size[0]), dtype=int)
    for (rows, columns), patch in zip(quadrant_places(size), query_patches(Image.new("L", size)), strict=True):
        covered[rows, columns] += 1
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        assert all(0 <= place - side < 4 for place, side in zip(shape, (patch.height, patch.width), strict=True))
    assert covered.min() == 1


def test_a_single_neighbour_copies_what_is_there():
    """From the page itself; averaging loses what is not alike."""
    truth = color_page(3, (128, 192))
    pool = reference_pool(["r"], [truth])
    exact, averaged = (PatchCopy(retriever(), neighbours).colorize(gray(truth), pool, seed=0) for neighbours in (1, 16))
    assert error(exact, truth) < 0.2 * error(gray(truth), truth)
    assert error(exact, truth) < error(averaged, truth)


@pytest.mark.parametrize(("neighbours", "side"), [(0, 256), (1, 31)])
def test_options_that_cannot_be(neighbours, side):
    with pytest.raises(ValueError, match=f"got {neighbours} and {side}"):
        PatchCopy(retriever(), neighbours, side)


def test_rows_are_told_apart():
    hog, clip = RetrievalSettings("hog"), RetrievalSettings("clip")
    rows = [
        color_transfer.rows(hog),
        color_transfer.rows(clip),
        patch_copy.rows(hog),
        patch_copy.rows(hog, neighbours=1),
    ]
    assert len({spec.fingerprint for row in rows for spec in row.values()}) == 4
    (spec,) = color_transfer.rows(hog, references="other_chapter", name="wrong").values()
    assert (spec.references, spec.build().name) == ("other_chapter", "wrong")
