"""Guided super-resolution against the released code: fixtures ``d_gsrp*``, and the last stage of ``h_end_to_end_sd*``.

Tolerances as in test_icp_parity. uint8 results are truncated in the released code: with at most one level on under
0.05 % of the values, a rounded result (one level on half of them) is told from a truncated one.
"""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor

from colorflow.canvas import query_box
from colorflow.models.gsrp.fusion import FusionNetwork, NormMode, UpsampleMode, tap_widths
from colorflow.models.gsrp.model import GSRPModel, decode_with_skips, encoder_features, posterior_of, upsample
from colorflow.utils.images import to_tensor
from parity.fixtures import cases, load, with_prefix
from parity.test_icp_parity import assert_levels, assert_near, numbered

MODES: list[tuple[str, NormMode]] = [("train", "batch"), ("train", "running"), ("eval", "running")]
"""Part of the fixture, our norm mode: released inference is training mode, where both are the same for one page."""


def build(config: dict[str, Any], tensors: dict[str, Tensor], norm_mode: NormMode = "batch") -> GSRPModel:
    vae = AutoencoderKL.from_config(config["vae"])
    vae.load_state_dict(with_prefix(tensors, "vae."))
    widths = config["vae"]["block_out_channels"]
    assert tap_widths(widths) == config["channels_list"]
    fusion = FusionNetwork(widths, norm_mode, "bicubic")
    fusion.load_state_dict(with_prefix(tensors, "gsrp."))
    return GSRPModel(vae, fusion).eval()


def truncated(image: Tensor) -> Tensor:
    """``(H, W, 3)`` uint8 of ``(3, H, W)`` in [-1, 1], as the released code quantizes (facts, 5.5)."""
    return ((image.clamp(-1, 1) * 0.5 + 0.5) * 255).to(torch.uint8).permute(1, 2, 0)


@pytest.mark.parametrize("path", cases("d_gsrp"))
@torch.no_grad()
def test_encoder_taps(path):
    config, tensors = load(path)
    vae = build(config, tensors).vae
    for name in ("color", "bw"):
        expected = numbered(tensors, f"out.hidden_{name}.")
        found = encoder_features(vae, tensors[f"in.{name}"])
        assert len(found) == len(expected) == config["num_tensors"]
        for level, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            assert_near(ours, theirs, f"{name} {level}")
    posterior = posterior_of(vae, encoder_features(vae, tensors["in.color"])[-1])
    assert_near(posterior.parameters, tensors["out.moments_color"], "moments")
    assert_near(posterior.mean + posterior.std * tensors["in.noise"], tensors["out.z"], "latents")


@pytest.mark.parametrize(("part", "norm_mode"), MODES)
@pytest.mark.parametrize("path", cases("d_gsrp"))
@torch.no_grad()
def test_fusion(path, part, norm_mode):
    config, tensors = load(path)
    fusion = build(config, tensors, norm_mode).fusion.train(part == "train")
    found = fusion(numbered(tensors, "out.hidden_color."), numbered(tensors, "out.hidden_bw."))
    expected = numbered(tensors, f"out.{part}.gsrp_hidden.")
    for level, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert theirs.abs().max() > 0.01, "a fixture of zeros would accept anything"
        assert_near(ours, theirs, f"level {level}")
    kept = fusion.state_dict()
    for key, value in with_prefix(tensors, f"out.{part}.after.").items():
        assert_near(kept[key], value, key)
        assert not torch.equal(value, tensors[f"gsrp.{key}"])


@pytest.mark.parametrize("row_tile", [None, 5], ids=["whole", "tiled"])
@pytest.mark.parametrize(("part", "norm_mode"), [("train", "batch"), ("eval", "running")])
@pytest.mark.parametrize("path", cases("d_gsrp"))
@torch.no_grad()
def test_page(path, part, norm_mode, row_tile):
    """The whole model as we run it, in evaluation mode: ``batch`` gives the released result there too."""
    config, tensors = load(path)
    model = build(config, tensors, norm_mode)
    model.fusion.set_row_tile(row_tile)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = model(tensors["in.bw"], tensors["in.color"], tensors["in.noise"])
    assert_near(found, tensors[f"out.{part}.decoded"], "page")
    assert_levels(truncated(found[0]), tensors[f"out.{part}.uint8"])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "inference changed it"
    other = tensors[f"out.{'eval' if part == 'train' else 'train'}.decoded"]
    assert (found - other).abs().max() > 0.01, "the fixture does not tell the modes apart"


@pytest.mark.parametrize("path", cases("d_gsrp"))
@torch.no_grad()
def test_without_guidance_it_is_the_decoder(path):
    config, tensors = load(path)
    model = build(config, tensors)
    zeros = [torch.zeros_like(item) for item in reversed(numbered(tensors, "out.eval.gsrp_hidden."))]
    assert_near(decode_with_skips(model.vae, tensors["out.z"], zeros), tensors["out.decode_plain"], "plain")


@pytest.mark.parametrize("path", cases("h_end_to_end_sd"))
@torch.no_grad()
def test_end_to_end_super_resolution(path):
    config, tensors = load(path)
    gray, color = (
        to_tensor(Image.fromarray(tensors[name].numpy()))[None] for name in ("in.vae_input", "out.upscaled_center")
    )
    found = build(config, tensors)(gray, color, numbered(tensors, "in.vae_noise.")[-1])
    assert_levels(truncated(found[0]), tensors["out.final"])


@pytest.mark.parametrize("path", cases("h_end_to_end_sd"))
def test_upsampling_is_the_released_one(path):
    """``bicubic`` against Pillow's resize of the canvas's centre, which rounds and clips after each of its passes.

    A tie that the first pass rounds the other way is one level, and the second pass makes 1.25 of it at most (the sum
    of the bicubic kernel's sizes), rounded once more: two levels.
    """
    config, tensors = load(path)
    expected = tensors["out.upscaled_center"]
    canvas = Image.fromarray(tensors["out.low_res_canvas"].numpy())
    centre, size = to_tensor(canvas.crop(query_box((config["W"], config["H"]))))[None], tuple(expected.shape[:2])

    def levels(images: Tensor) -> Tensor:
        return images.mul(127.5).add(127.5).round().clamp(0, 255)

    def after_both_passes(mode: UpsampleMode) -> Tensor:
        across = levels(upsample(centre, (centre.shape[2], size[1]), mode)) / 127.5 - 1
        return (levels(upsample(across, size, mode))[0].permute(1, 2, 0) - expected).abs()

    assert after_both_passes("bicubic").max() <= 2
    assert after_both_passes("bilinear").max() > 10
    at_once = levels(upsample(centre, size, "bicubic"))[0].permute(1, 2, 0)
    assert (at_once - expected).abs().mean() < 0.5  # what is not rounded and clipped between the passes; bilinear 2.7
