"""The toon family's codec: what its latents are, and that it stands where an autoencoder does."""

from __future__ import annotations

import pytest
import torch
from tiny.toon import CODEC, small_base

from colorflow.models.base import load_base, save_base
from colorflow.models.conditioning import (
    Region,
    decode_latents,
    decode_region,
    encode_latents,
    latent_factor,
    latent_size,
    tone_code,
)
from colorflow.models.families import find_family
from colorflow.models.toon.codec import PatchCodec, luma_axes, principal_components
from colorflow.utils.color import LUMA


@pytest.fixture
def pages():
    """Blocks of flat colour with some texture, ``(6, 3, 32, 24)`` in [-1, 1]."""
    source = torch.Generator().manual_seed(0)
    blocks = torch.rand(6, 3, 4, 3, generator=source).mul(2).sub(1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return (blocks + 0.2 * torch.randn(blocks.shape, generator=source)).clamp(-1, 1)


def codec(channels=6):
    torch.manual_seed(0)
    return PatchCodec(**CODEC | {"latent_channels": channels})


def gray(images):
    return (images * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def test_axes_part_gray_from_colour():
    forward, backward = luma_axes()
    torch.testing.assert_close(forward @ backward, torch.eye(3), atol=1e-6, rtol=0)
    assert (forward @ torch.ones(3))[1:].abs().max() < 1e-6, "gray has chroma"
    assert (torch.tensor(LUMA) @ backward)[1:].abs().max() < 1e-6, "chroma has luma"


def test_components_are_those_of_the_two_parts(pages):
    """Strongest first, orthonormal, each of luma or of chroma; variances as numpy has them of either part."""
    basis, scale, _ = principal_components(pages, 4, 48)
    flat = basis.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(48), atol=1e-5, rtol=0)
    assert (scale.diff() <= 1e-6).all()
    luma, chroma = basis[:, 0].flatten(1).norm(dim=1), basis[:, 1:].flatten(1).norm(dim=1)
    assert torch.minimum(luma, chroma).max() < 1e-5
    patches = (gray(pages)[:, :1] * 3**0.5).unfold(2, 4, 4).unfold(3, 4, 4).flatten(0, 3).flatten(1)
    expected = torch.linalg.svdvals(patches - patches.mean(0)) / (len(patches) - 1) ** 0.5
    torch.testing.assert_close(scale[luma > 0.5], expected, atol=1e-4, rtol=1e-4)


def test_all_components_lose_nothing(pages):
    whole = codec(48)
    whole.fit(pages)
    torch.testing.assert_close(whole(pages), pages, atol=1e-4, rtol=0)


def test_latents_are_whitened_and_gray_keeps_its_own(pages):
    fitted = codec()
    fitted.fit(pages)
    colored, grayed = (fitted.encode(images).latent_dist.mean for images in (pages, gray(pages)))
    torch.testing.assert_close(colored.std((0, 2, 3)), torch.ones(6), atol=1e-3, rtol=0)
    same = (colored - grayed).abs().amax((0, 2, 3)) < 1e-4
    flat = grayed.std((0, 2, 3)) < 1e-4
    assert (same ^ flat).all(), "a latent is neither of luma nor of chroma alone"
    assert same.any()
    assert flat.any()


def test_it_stands_where_an_autoencoder_does(pages):
    fitted = codec()
    fitted.fit(pages)
    assert latent_factor(fitted) == 4
    assert latent_size(fitted, 32, 24) == (8, 6)
    latents = encode_latents(fitted, pages, torch.ones(6, 6, 8, 6))  # no variance: a draw changes nothing
    torch.testing.assert_close(latents, fitted.encode(pages).latent_dist.mode(), atol=0, rtol=0)
    decoded = decode_latents(fitted, latents)
    torch.testing.assert_close(decoded, fitted(pages), atol=0, rtol=0)
    part = decode_region(fitted, latents, Region((8, 8, 16, 24), margin=8))
    torch.testing.assert_close(part, decoded[..., 8:24, 8:16], atol=1e-5, rtol=0)


def test_a_base_keeps_its_codec(tmp_path, pages):
    base = small_base()
    base.vae.fit(pages)
    save_base(base, tmp_path)
    loaded = load_base(find_family("toon"), str(tmp_path)).vae
    assert isinstance(loaded, PatchCodec)
    torch.testing.assert_close(loaded(pages), base.vae(pages), atol=0, rtol=0)


def test_a_mimetic_network_answers_zero_and_looks_for_what_is_alike():
    unet = small_base().network
    assert not unet(torch.randn(1, 6, 8, 8), 3, torch.randn(1, 2, 4)).sample.any()
    attention = unet.get_submodule("up_blocks.0.attentions.0.transformer_blocks.0.attn1")
    tokens = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    scores = attention.to_q(tokens) @ attention.to_k(tokens).T
    torch.testing.assert_close(scores, 1.2**2 * tokens @ tokens.T, atol=1e-5, rtol=0)
    torch.testing.assert_close(attention.to_out[0](attention.to_v(tokens)), 0.7 * tokens, atol=1e-5, rtol=0)


def test_tone_code_tells_close_grays_apart(pages):
    fitted = codec()
    dark, light = (torch.full((1, 3, 8, 8), level / 127.5 - 1) for level in (120, 124))
    codes = [tone_code(fitted, canvas, 5) for canvas in (dark, light)]
    assert codes[0].shape == (1, 10, 2, 2)
    assert (codes[0] - codes[1]).norm(dim=1).min() > 10 * abs(120 - 124) / 127.5
    expected = torch.sin(torch.pi * 4 * dark[:, :1, ::4, ::4])
    torch.testing.assert_close(codes[0][:, 4:5], expected, atol=1e-5, rtol=0)
