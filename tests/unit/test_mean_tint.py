"""One tint for the whole page: that of the references, at the page's luminance."""

import numpy as np
import pytest
from PIL import Image
from tiny.benchmark import color_page

from colorflow.baselines.mean_tint import MeanTint, rows
from colorflow.baselines.nearest import NoReferenceError
from colorflow.retrieval.retriever import reference_pool


def test_the_tint_is_the_mean_of_the_references_and_luminance_stays():
    flat = [Image.new("RGB", (8, 8), color) for color in ((200, 120, 80), (100, 120, 180))]
    page = Image.new("RGB", (40, 30), (128, 128, 128))
    tinted = MeanTint().colorize(page, reference_pool(["a", "b"], flat), seed=0)
    chroma = np.mean([np.asarray(each.convert("YCbCr"))[0, 0, 1:] for each in flat], axis=0)
    levels = np.asarray(tinted.convert("YCbCr")).reshape(-1, 3).astype(int)
    assert tinted.size == page.size
    assert np.abs(levels - [128, *chroma]).max() <= 2  # rounded three times
    assert len(np.unique(levels, axis=0)) == 1


def test_gray_references_leave_a_page_gray_and_none_are_an_error():
    page = color_page(1).convert("L").convert("RGB")
    same = MeanTint().colorize(page, reference_pool(["a"], [page]), seed=0)
    assert np.abs(np.asarray(same).astype(int) - np.asarray(page)).max() <= 1
    with pytest.raises(NoReferenceError, match="mean_tint"):
        MeanTint().colorize(page, reference_pool([], []), seed=0)


def test_the_row_says_what_it_is_called():
    (name, spec), *_ = rows("other_chapter", "mean_tint_wrong_references").items()
    assert (spec.references, spec.label) == ("other_chapter", "Mean tint of the references, wrong references")
    assert spec.build().name == name
