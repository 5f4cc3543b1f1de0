"""The line extractor against the official one: fixtures ``e_line_extractor*`` and ``line_*``.

Tolerances are those stated beside the fixtures: 0.05 of 255 on the network's output, one level on pictures (which
are cut off below the point).
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny.models import released_keys

from colorflow.styles.lines.network import LineNetwork, draw_lines, opencv_gray
from parity.filling import baseline_state, override, released_state
from parity.fixtures import assert_official, cases, load, npz_cases, npz_index

CLOSE = 0.05


@cache
def baseline_network(folder: Path) -> LineNetwork:
    index = npz_index(folder / "any", "line")
    network = LineNetwork()
    network.load_state_dict(override(baseline_state(network, index["salt"]), index["overrides"]))
    return network.requires_grad_(False)


def released_network(config: dict) -> LineNetwork:
    network = LineNetwork()
    state = released_state(network, config["seed"])
    state["conv15.model.2.weight"] *= config["last_weight_factor"]
    state["conv15.model.2.bias"] += config["last_bias"] - state["conv15.model.2.bias"]
    network.load_state_dict(state)
    return network.requires_grad_(False)


@pytest.mark.parametrize("path", npz_cases("line_*"))
def test_lines_of_a_page(path):
    network = baseline_network(path.parent)
    with np.load(path) as stored:
        gray = opencv_gray(torch.from_numpy(stored["image"]).permute(2, 0, 1)[None])
        assert np.array_equal(gray[0, 0].numpy(), stored["gray"])
        raw = network(torch.from_numpy(stored["net_in"]))
        assert np.abs(raw.numpy() - stored["net_out"]).max() < CLOSE
        lines = draw_lines(network, gray)[0, 0].numpy().astype(int)
        assert lines.shape == stored["line_u8"].shape
        assert np.abs(lines - stored["line_u8"]).max() <= 1


@pytest.mark.parametrize("path", cases("e_line_extractor"))
def test_released_line_extractor(path):
    config, tensors = load(path)
    network = released_network(config)
    raw = network(tensors["in.padded_gray"])
    assert (raw - tensors["out.raw"]).abs().max() < CLOSE
    inner = tensors["in.padded_gray"]
    for level, name in enumerate(("x0_ch0", None, "x2_ch0", None, "x4")):
        inner = network.get_submodule(f"block{level}")(inner)
        if name:
            expected = tensors[f"out.{name}"]
            assert torch.allclose(inner[:, : expected.shape[1]], expected, rtol=1e-4, atol=1e-3), name
    gray = opencv_gray(tensors["in.rgb"].permute(2, 0, 1)[None])
    assert torch.equal(gray[..., :, :].float(), tensors["in.padded_gray"][..., : gray.shape[-2], : gray.shape[-1]])
    lines = draw_lines(network, gray)[0, 0]
    assert (lines.int() - tensors["out.line_uint8"].int()).abs().max() <= 1


@pytest.mark.parametrize("path", npz_cases("line_*")[-1:])
def test_typical_mistakes_do_not_pass(path):
    """White padding in place of ones, and gray in [0, 1]."""
    network = baseline_network(path.parent)
    with np.load(path) as stored:
        height, width = stored["gray"].shape
        white, scaled = torch.from_numpy(stored["net_in"]).clone(), torch.from_numpy(stored["net_in"]) / 255
        white[..., height:, :] = white[..., width:] = 255
        for wrong in (white, scaled):
            assert np.abs(network(wrong).numpy() - stored["net_out"])[..., :height, :width].max() > 20 * CLOSE


def test_the_network_is_the_official_one_key_by_key():
    entry = released_keys("line_extractor", "screen.json")
    with torch.device("meta"):
        network = LineNetwork()
    assert_official(network, entry)
