"""The released input styles: fixtures ``f_input_styles*``, exact."""

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from colorflow.canvas import fit_page
from colorflow.styles.compose import blend
from colorflow.styles.sketch import shade
from parity.fixtures import cases, load, picture, pillow_levels


def same(image: Image.Image, expected: Tensor) -> bool:
    return image.mode == "RGB" and np.array_equal(np.asarray(image), expected.numpy())


@pytest.mark.parametrize("path", cases("f_input_styles"))
def test_inputs_of_the_three_released_styles(path):
    _, tensors = load(path)
    page, lines = picture(tensors["out.resized_page"]), picture(tensors["in.line_L"])
    blended = blend(page, picture(tensors["in.screen_rgb"]), 0.5)
    for target in ("input_context", "vae_input"):
        assert same(blended, tensors[f"out.GrayImage(ScreenStyle).{target}"])
        assert same(lines.convert("RGB"), tensors[f"out.Sketch.{target}"])
    assert same(shade(page, lines), tensors["out.Sketch_Shading.input_context"])
    assert same(lines.convert("RGB"), tensors["out.Sketch_Shading.vae_input"])


@pytest.mark.parametrize("path", cases("f_input_styles"))
def test_pages_are_fitted_to_one_and_a_half_times_the_target(path):
    config, tensors = load(path)
    size = tuple(int(1.5 * side) for side in config["tar"])
    fitted = np.asarray(fit_page(picture(tensors["in.page_rgb"]), size)).astype(int)
    assert np.abs(fitted - tensors["out.resized_page"].numpy()).max() <= pillow_levels(4)


@pytest.mark.parametrize("path", cases("f_input_styles"))
def test_every_pair_of_levels(path):
    """Rows are levels of the page, columns those of the line drawing or the screen."""
    _, tensors = load(path)
    rows, columns = (Image.fromarray(levels.astype(np.uint8)) for levels in np.mgrid[:256, :256])
    shaded, blended = shade(rows, columns), blend(rows, columns, 0.5)
    assert np.array_equal(np.asarray(shaded)[..., 0], tensors["out.shading_table"].numpy())
    assert np.array_equal(np.asarray(blended)[..., 0], tensors["out.gray_blend_table"].numpy())
