"""Parts in their own colors: a page as it is, one painted as somebody else, and a gray one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from colorflow.metrics.parts import count_parts
from colorflow.toon import ToonSpec, draw_page
from colorflow.utils.images import to_tensor


@pytest.fixture(scope="module")
def page():
    return draw_page(3, 0, ToonSpec(size=(96, 144), min_cast=3, max_cast=3, max_panels=1))


def unit(image):
    return (to_tensor(image) + 1) / 2


def test_the_truth_is_right_and_chance_is_one_in_the_cast(page):
    found = count_parts(unit(page.color), page.labels, page.colors)
    assert found.parts >= 4
    assert found.right == found.parts
    assert found.chance == pytest.approx(found.parts / 3)


def test_another_characters_colors_are_wrong(page):
    turned = page.colors[1:] + page.colors[:1]
    pred = torch.full((3, *page.labels.shape), 0.5)
    for label in np.unique(page.labels[page.labels > 0]):
        character, part = divmod(int(label) - 1, 5)
        pred[:, torch.from_numpy(page.labels == label)] = torch.tensor(turned[character][part])[:, None] / 255
    assert count_parts(pred, page.labels, page.colors).right == 0


def test_specks_are_not_judged(page):
    labels = np.zeros_like(page.labels)
    labels[0, 0] = 1
    assert count_parts(unit(page.color), labels, page.colors).parts == 0
    with pytest.raises(ValueError, match=r"labels of the page's \(144, 96\), got \(96, 144\)"):
        count_parts(unit(page.color), page.labels.T, page.colors)
