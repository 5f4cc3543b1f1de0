"""Styles with networks: official files only, whole and unharmed; randomness by generator; any size, any batch."""

import json

import numpy as np
import pytest
import torch
from tiny.comics import draw_page
from tiny.styles import seeded

from colorflow.styles.networks import DECODER_FILE, GENERATOR_FILE, LINE_FILE
from colorflow.styles.screen.path import ScreenPath
from colorflow.styles.screen.vae import Draws
from colorflow.styles.screenvae import ScreenVAEStyle
from colorflow.styles.sketch import SketchStyle
from colorflow.utils.tensors import CheckpointError


@pytest.fixture
def weights(style_weights):
    return style_weights


@pytest.fixture(scope="module")
def screen(style_weights):
    return ScreenVAEStyle(style_weights)


@pytest.fixture
def spoiled(weights, tmp_path):
    """The same folder by links, with one file that a test changes."""

    def spoil(name, change):
        state = torch.load(weights / name, weights_only=True)
        change(state)
        for other in (GENERATOR_FILE, DECODER_FILE, LINE_FILE):
            (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
            if other != name:
                (tmp_path / other).symlink_to(weights / other)
        torch.save(state, tmp_path / name)
        return tmp_path

    return spoil


@pytest.mark.parametrize(
    ("name", "key"),
    {
        GENERATOR_FILE: "model.model.2.model.4.model.11.weight_orig",
        DECODER_FILE: "model.model.2.noiseblock.weight",
        LINE_FILE: "block3.model.2.residual.model.0.running_var",
    }.items(),
)
def test_a_file_with_one_wrong_key_is_refused_by_name(spoiled, name, key):
    root = spoiled(name, lambda state: state.update({f"{key}_of_late": state.pop(key)}))
    style = SketchStyle if name == LINE_FILE else ScreenVAEStyle
    with pytest.raises(CheckpointError) as caught:
        style(root)
    assert name in str(caught.value)
    assert f"1 missing: {key}\n" in str(caught.value)
    assert f"1 unexpected: {key}_of_late" in str(caught.value)


@pytest.mark.parametrize("style", [ScreenVAEStyle, SketchStyle])
@pytest.mark.parametrize("root", [None, "nowhere/at/all"])
def test_missing_weights_end_in_a_remedy(style, root):
    with pytest.raises(CheckpointError, match=r"set style\.weights(=PATH| to where it lies) .*docs/styles") as caught:
        style(root)
    assert "style=procedural" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(1, 1), (33, 50), (130, 40)])
def test_any_size_gives_three_equal_channels_of_that_size(screen, weights, size):
    page = draw_page(2, size)
    for style in (screen, SketchStyle(weights), SketchStyle(weights, shading=True), SketchStyle(weights, height=64)):
        image = style(page, seeded())
        assert (image.mode, image.size) == ("RGB", size)
        levels = np.asarray(image)
        assert (levels == levels[..., :1]).all()


def test_official_draws_come_from_the_generator_alone(screen):
    page = draw_page(1, (40, 64))
    torch.manual_seed(0)
    first = screen(page, seeded(3)).tobytes()
    torch.manual_seed(1)
    assert screen(page, seeded(3)).tobytes() == first
    assert screen(page, seeded(4)).tobytes() != first


def test_without_draws_nothing_is_random(weights):
    style, generator = ScreenVAEStyle(weights, draws="none"), seeded(3)
    before, page = generator.get_state(), draw_page(1, (40, 64))
    assert style(page, generator).tobytes() == style(page, seeded(9)).tobytes()
    assert torch.equal(generator.get_state(), before)


def test_a_page_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    path = ScreenPath(4, 4).requires_grad_(False)
    pages = torch.randint(256, (3, 3, 64, 40), dtype=torch.uint8)
    together = path(pages, Draws([seeded(seed) for seed in range(3)]))
    for number in range(3):
        alone = path(pages[number : number + 1], Draws([seeded(number)]))
        assert torch.allclose(together.page[number], alone.page[0], atol=1e-5)
    assert (together.page[0] - path(pages[:1], Draws([seeded(1)])).page[0]).abs().max() > 0.01


def test_pages_are_rendered_at_the_given_height(screen, weights):
    tall = ScreenVAEStyle(weights, draws="none", height=96)
    page = draw_page(1, (40, 64))
    rendered = tall.render([page.resize((60, 96), 3)], [seeded()])[0]
    assert tall(page, seeded()).tobytes() == rendered.resize((40, 64), 3).tobytes()
    for height in (0, -5):
        with pytest.raises(ValueError, match="at least 1 pixel"):
            SketchStyle(weights, height=height)
    with pytest.raises(ValueError, match="official or none"):
        ScreenVAEStyle(weights, draws="some")


def test_descriptions_hold_digests_and_no_paths(screen, weights):
    text = json.dumps([screen.describe(), SketchStyle(weights, shading=True).describe()])
    assert str(weights) not in text
    first, second = json.loads(text)
    assert set(first["weights"]) == {GENERATOR_FILE, DECODER_FILE}
    assert all(len(digest) == 64 for digest in first["weights"].values())
    assert (first["name"], first["draws"]) == ("screenstyle", "official")
    assert (second["name"], second["shading"]) == ("shading", True)
