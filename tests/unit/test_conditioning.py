"""Latents and conditions: scaling, posterior draws, channel order."""

import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.models import PAGE_SIZE, VAE, noise, tiny_base, tiny_model
from torch import Tensor

from colorflow.canvas import query_box, query_mask
from colorflow.models.conditioning import (
    condition_images,
    decode_latents,
    encode_latents,
    latent_size,
    shrink_mask,
    split_canvas,
)

HEIGHT, WIDTH = 2 * PAGE_SIZE[1], 2 * PAGE_SIZE[0]


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return tiny_base().vae.eval()


@pytest.fixture
def canvas() -> Tensor:
    return noise(2, 3, HEIGHT, WIDTH, seed=3).clamp(-1, 1)


@pytest.fixture
def mask() -> Tensor:
    return query_mask(PAGE_SIZE)[None].expand(2, -1, -1, -1)


def draws(seed: int = 7) -> tuple[Tensor, Tensor]:
    shape = (2, 4, HEIGHT // 8, WIDTH // 8)
    return noise(*shape, seed=seed), noise(*shape, seed=seed + 1)


@pytest.mark.parametrize(("height", "width"), [(96, 60), (100, 64)])
def test_sides_that_do_not_fit_are_refused(vae, height, width):
    with pytest.raises(ValueError, match=rf"multiples of 8, got {width} x {height}"):
        latent_size(vae, height, width)


@torch.no_grad()
def test_latents_are_scaled_posterior_draws_and_decoding_undoes_it(vae, canvas):
    posterior = vae.encode(canvas).latent_dist
    zeros = torch.zeros_like(posterior.mean)
    assert torch.equal(encode_latents(vae, canvas, zeros), posterior.mode() * VAE["scaling_factor"])
    drawn = noise(*posterior.mean.shape, seed=9)
    expected = posterior.sample(torch.Generator().manual_seed(9)) * VAE["scaling_factor"]
    torch.testing.assert_close(encode_latents(vae, canvas, drawn), expected)
    assert posterior.std.min() > 0.01, "a posterior without width would not tell"
    latents = noise(1, 4, 12, 8)
    found = decode_latents(vae, latents)
    assert found.shape == (1, 3, 96, 64)
    assert torch.equal(found, vae.decode(latents / VAE["scaling_factor"]).sample)


def test_split_canvas_is_a_partition(canvas, mask):
    references, query = split_canvas(canvas, mask)
    left, top, right, bottom = query_box(PAGE_SIZE)
    inside = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    assert (references[..., inside] == -1).all()
    assert (query[..., ~inside] == -1).all()
    assert torch.equal(references[..., ~inside], canvas[..., ~inside])
    assert torch.equal(query[..., inside], canvas[..., inside])


@torch.no_grad()
def test_five_channels(canvas, mask):
    (first, second), model = draws(), tiny_model(5)
    condition = model.encode_condition(canvas, mask, (first, second))
    assert condition.shape == (2, 5, HEIGHT // 8, WIDTH // 8)
    assert torch.equal(condition[:, :4], encode_latents(model.vae, canvas, first))
    expected = torch.ones(HEIGHT // 8, WIDTH // 8)
    expected[HEIGHT // 32 : 3 * HEIGHT // 32, WIDTH // 32 : 3 * WIDTH // 32] = 0
    assert torch.equal(condition[0, 4], expected)


@torch.no_grad()
def test_nine_channels(canvas, mask):
    (first, second), model = draws(), tiny_model(9)
    condition = model.encode_condition(canvas, mask, (first, second))
    left, top, right, bottom = query_box(PAGE_SIZE)
    references = canvas.clone()
    references[:, :, top:bottom, left:right] = -1
    query = torch.full_like(canvas, -1)
    query[:, :, top:bottom, left:right] = canvas[:, :, top:bottom, left:right]
    assert condition.shape[1] == 9
    assert torch.equal(condition[:, :4], encode_latents(model.vae, references, first))
    assert torch.equal(condition[:, 4:5], tiny_model(5).encode_condition(canvas, mask, (first, second))[:, 4:])
    assert torch.equal(condition[:, 5:], encode_latents(model.vae, query, second))


def test_other_channels_are_refused(vae, canvas, mask):
    with pytest.raises(ValueError, match="expected 5 or 9, got 7"):
        condition_images(vae, canvas, mask, 7)


@settings(deadline=None, max_examples=25)
@given(st.tuples(st.integers(1, 64), st.integers(1, 64)).map(lambda s: (16 * s[0], 16 * s[1])))
def test_shrunk_masks_are_binary_at_multiples_of_sixteen(vae, size):
    width, height = size
    expected = torch.ones(1, 1, height // 4, width // 4)
    expected[:, :, height // 16 : height // 16 * 3, width // 16 : width // 16 * 3] = 0
    assert torch.equal(shrink_mask(vae, query_mask(size)[None]), expected)


def test_shrunk_masks_keep_their_batch_and_latents_their_size(vae):
    masks = torch.stack([torch.zeros(1, 32, 16), torch.ones(1, 32, 16)])
    found = shrink_mask(vae, masks)
    assert found.shape == (2, 1, 4, 2)
    assert (found[0] == 0).all()
    assert (found[1] == 1).all()
    assert latent_size(vae, 96, 64) == (12, 8)
