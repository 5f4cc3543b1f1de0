"""The gray style."""

import numpy as np
import torch
from PIL import Image
from tiny_comics import draw_page

from colorflow.styles.gray import GrayStyle


def test_gray_is_itu_601_luminance_in_three_equal_channels():
    page = draw_page(3)
    gray = np.asarray(GrayStyle()(page, torch.Generator()))
    assert gray.shape == (48, 32, 3)
    assert (gray == gray[..., :1]).all()
    expected = np.asarray(page).astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(gray[..., 0] - expected).max() <= 1


def test_gray_draws_nothing_and_keeps_gray_pages():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    page = Image.new("RGB", (8, 8), (77, 77, 77))
    assert GrayStyle()(page, generator).tobytes() == page.tobytes()
    assert torch.equal(generator.get_state(), before)
