"""MC-v2 against the official networks and their preprocessing: fixtures ``mcv2_gen_*`` and ``mcv2_pipe_*``.

Tolerances are those stated beside the fixtures: 2e-4 on network outputs, one level on pictures; sizes and padding are
exact.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny.models import released_keys
from torch import nn

from colorflow.baselines.mcv2 import McV2, McV2Settings
from colorflow.baselines.mcv2.denoiser import Denoiser, denoise
from colorflow.baselines.mcv2.generator import Generator
from colorflow.baselines.mcv2.method import to_unit
from colorflow.baselines.mcv2.resize import network_size, pad_free_side, resize_area
from parity.filling import baseline_state, override
from parity.fixtures import assert_official, npz_cases, npz_index

CLOSE = 2e-4
NETWORKS = {"generator": Generator, "ffdnet_rgb": Denoiser}


def filled(build: type[nn.Module], folder: Path, name: str, salt: str) -> nn.Module:
    index = npz_index(folder / "any", "mcv2")
    network = build()
    rules = [rule for rule in index["overrides"] if rule["net"] == name]
    network.load_state_dict(override(baseline_state(network, index[salt]), rules))
    return network.eval().requires_grad_(False)


@cache
def generator(folder: Path) -> Generator:
    return filled(Generator, folder, "generator", "salt_generator")  # type: ignore[return-value]


@cache
def denoiser(folder: Path) -> Denoiser:
    return filled(Denoiser, folder, "ffdnet_rgb", "salt_ffdnet")  # type: ignore[return-value]


def away(got, expected) -> float:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    return float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).max())


@pytest.mark.parametrize("path", npz_cases("mcv2_gen_*"))
def test_generator(path):
    network = generator(path.parent)
    with np.load(path) as stored:
        x = torch.from_numpy(stored["x"])
        assert away(network(x), stored["fake"]) < CLOSE
        assert away(network.guide(x), stored["guide"]) < CLOSE


@pytest.mark.parametrize("path", npz_cases("mcv2_pipe_*"))
def test_a_page_from_file_to_result(path):
    """``mcv2_pipe_<h>x<w>_s<size>_<dn|raw>_<u8|f32>``: f32 is the picture / 255, as a PNG is read."""
    *_, size, mode, kind = path.stem.split("_")
    cleaner = denoiser(path.parent) if mode == "dn" else None
    method = McV2(generator(path.parent), cleaner, McV2Settings(int(size.removeprefix("s"))))
    with np.load(path) as stored:
        pixels = stored["image"]
        if kind == "f32" or cleaner:
            pixels = pixels.astype(np.float32) / 255
        if cleaner:
            assert away(denoise(cleaner, [pixels], 25)[0], stored["denoised"]) <= 1
        (plane,) = method.prepare([pixels])
        resized = resize_area(plane, network_size(plane.shape[1], plane.shape[0], method.settings.size))
        padded, pad = pad_free_side(resized)
        assert pad == tuple(stored["pad"])
        assert padded.dtype == stored["resized"].dtype
        one_level = 1 if padded.dtype == np.uint8 else 1 / 255
        assert away(padded[..., None], stored["resized"]) <= one_level
        assert away(to_unit(padded), stored["net_gray"]) <= 1 / 255
        (colors,) = method.paint_planes([plane], [None])
        assert away((colors * 0.5 + 0.5).permute(1, 2, 0), stored["out"]) < CLOSE


@pytest.mark.parametrize("path", npz_cases("mcv2_gen_*_hint")[-1:])
def test_typical_mistakes_do_not_pass(path):
    """Gray in [-1, 1], hints left out, and the wrong skip of the last but one tunnel."""
    network = generator(path.parent)
    with np.load(path) as stored:
        x, expected = torch.from_numpy(stored["x"]), stored["fake"]
        centred, unhinted = x.clone(), x.clone()
        centred[:, :1] = 2 * x[:, :1] - 1
        unhinted[:, 1:] = 0
        for wrong in (centred, unhinted):
            assert away(network(wrong), expected) > 20 * CLOSE
        deepest, (_, first, second), full = network._deepest(x)
        swapped = network._decode(deepest, (network.to1(full), first, second), full)
        assert away(swapped, expected) > 20 * CLOSE


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_official_ones_key_by_key(name):
    entry = released_keys("mcv2", "baselines.json")[name]
    with torch.device("meta"):
        network = NETWORKS[name]()
    assert_official(network, entry)
