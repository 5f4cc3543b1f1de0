"""The gray style, and styles made of styles."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.comics import draw_page
from tiny.styles import seeded

from colorflow.styles.bitonal import BitonalStyle
from colorflow.styles.compose import Interpolated, Mixed
from colorflow.styles.gray import GrayStyle


@dataclass(frozen=True)
class Flat:
    level: int

    @property
    def name(self) -> str:
        return f"flat{self.level}"

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        torch.rand((), generator=generator)
        return Image.new("RGB", page.size, (self.level,) * 3)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


def levels(style, count=200):
    generator = seeded(1)
    return [style(Image.new("RGB", (2, 2), "red"), generator).getpixel((0, 0))[0] for _ in range(count)]


def test_gray_is_itu_601_luminance_in_three_equal_channels_and_draws_nothing():
    page = draw_page(3)
    gray = np.asarray(GrayStyle()(page, torch.Generator()))
    assert gray.shape == (48, 32, 3)
    assert (gray == gray[..., :1]).all()
    expected = np.asarray(page).astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(gray[..., 0] - expected).max() <= 1
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    page = Image.new("RGB", (8, 8), (77, 77, 77))
    assert GrayStyle()(page, generator).tobytes() == page.tobytes()
    assert torch.equal(generator.get_state(), before)


def test_bitonal_keeps_what_is_darker_than_the_page_as_ink():
    page = Image.new("RGB", (8, 6), (200, 220, 240))
    page.paste((60, 40, 20), (2, 1, 5, 6))
    ink = np.asarray(BitonalStyle()(page, torch.Generator()))
    expected = np.full((6, 8, 3), 255)
    expected[1:6, 2:5] = 0
    assert np.array_equal(ink, expected)
    for flat in ("black", "gray", "white"):
        assert np.asarray(BitonalStyle()(Image.new("RGB", (4, 4), flat), torch.Generator())).min() == 255


def test_interpolation_is_uniform_between_the_two_and_depends_on_the_generator_alone():
    drawn = np.array(levels(Interpolated(Flat(0), Flat(200)), 400)) / 200
    assert drawn.min() < 0.03
    assert drawn.max() > 0.97
    assert np.abs(np.sort(drawn) - np.linspace(0, 1, 400)).max() < 0.08  # Kolmogorov-Smirnov, p = 0.01
    inner = np.array(levels(Interpolated(Flat(0), Flat(200), (0.25, 0.5)))) / 200
    assert 0.24 < inner.min() < 0.27
    assert 0.48 < inner.max() <= 0.5
    style, page = Interpolated(GrayStyle(), Flat(90)), draw_page(1)
    pictures = [style(page, seeded(seed)).tobytes() for seed in (5, 5, 6)]
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 10), (0.5, 100), (1.0, 191), (0.34, 71)])
def test_a_fixed_weight_is_exact_and_cut_off(weight, expected):
    """10 + 181 w: 100.5 and 71.54 lose what is behind the point, as released."""
    assert set(levels(Interpolated(Flat(10), Flat(191), (weight, weight)), 3)) == {expected}


def test_a_mixture_draws_its_styles_by_their_shares():
    drawn = levels(Mixed((Flat(1), Flat(2), Flat(3)), (1, 2, 5)), 800)
    counts = np.array([drawn.count(level) for level in (1, 2, 3)]) / 800
    assert np.abs(counts - [0.125, 0.25, 0.625]).max() < 0.06  # over three standard deviations
    assert set(levels(Mixed([Flat(1), Flat(9)]))) == {1, 9}


def test_descriptions_are_json_and_tell_styles_apart():
    style = Mixed([GrayStyle(), Interpolated(GrayStyle(), Flat(3), [0, 0.5])], [1, 2])
    gray = {"name": "gray", "class": "GrayStyle"}
    second = {
        "name": "flat3",
        "class": "Interpolated",
        "weight": [0.0, 0.5],
        "first": gray,
        "second": {"name": "flat3"},
    }
    expected = {"name": "mixed", "class": "Mixed", "shares": [1.0, 2.0], "styles": [gray, second]}
    assert json.loads(json.dumps(style.describe())) == expected


@pytest.mark.parametrize("weight", [(0.5, 0.2), (-0.1, 1), (0, 1.1), (0.5,), (0, float("nan"))])
def test_impossible_weights_and_mixtures_are_refused(weight):
    with pytest.raises(ValueError, match=r"within \[0, 1\]"):
        Interpolated(GrayStyle(), Flat(3), weight)
    for count, shares in ((0, ()), (1, (0,)), (1, (1, 2)), (1, (float("nan"),))):
        with pytest.raises(ValueError, match="positive share"):
            Mixed((Flat(1),) * count, shares)
