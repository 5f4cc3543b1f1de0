"""The screen networks against the official ones: fixtures ``screen_*`` (to screentone), ``screen2color_*`` (back).

Tolerances are those stated beside the fixtures: 2e-4 on network outputs, one level on pictures. The way back is run in
float64: by float32's rounding through its many layers it would be 6e-4 off with some numbers of threads.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny.models import released_keys, shapes
from torch import Tensor, nn

from colorflow.baselines.screenvae import ScreenToColor
from colorflow.styles.compose import blend
from colorflow.styles.screen.color import ScreenColorizer, StyleCodeEncoder
from colorflow.styles.screen.generator import ScreenGenerator
from colorflow.styles.screen.path import Screen, ScreenPath, luminance, pad_to_256, signed, to_levels
from colorflow.styles.screen.vae import Draws, ScreenDecoder, ScreenEncoder
from parity.filling import baseline_state, noise
from parity.fixtures import folder, npz_cases, npz_index

CLOSE = 2e-4
BUILD: dict[str, Any] = {
    "G_RGB2INTSCR": ScreenGenerator,
    "dec": ScreenDecoder,
    "enc": ScreenEncoder,
    "G_INTSCR2RGB": ScreenColorizer,
    "E": StyleCodeEncoder,
}
SMALL = {
    "G_RGB2INTSCR": ["model.model.1.bias"],
    "dec": ["model.model.1.bias"],
    "enc": ["model.1.bias"],
    "G_INTSCR2RGB": ["model.down.1.bias", "mapping.func.0.bias"],
    "E": ["conv.0.bias", "fc.0.bias"],
}
"""Keys whose lengths are the widths, and the length of the style code, of the small networks."""


@cache
def stored_weights() -> dict[str, Tensor]:
    return load_file(folder("baselines") / "screen_small_weights.safetensors")


@cache
def salt() -> str:
    """What the set of fixtures is filled by; the line extractor's index names it."""
    return npz_index(folder("baselines") / "any", "line")["salt"].split("/")[0]


class FixedNoise(Draws):
    """No dropout; the noise of the fixtures, in order, or none."""

    def __init__(self, mode: str, needed: list[list[int]]) -> None:
        super().__init__()
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "needed", list(needed))
        object.__setattr__(self, "total", len(needed))

    def noise(self, x: Tensor) -> Tensor | None:
        if self.mode == "zero":  # type: ignore[attr-defined]
            return None
        left = self.needed  # type: ignore[attr-defined]
        assert list(x.shape) == left[0], "the maps come coarse to fine, in the official sizes"
        return noise(self.total - len(left), left.pop(0), salt())  # type: ignore[attr-defined]


@cache
def network(kind: str, size: str) -> nn.Module:
    """A filled network, full or small (the stored weights say how small)."""
    widths = [len(stored_weights()[f"{kind}/{key}"]) for key in SMALL[kind]] if size == "small" else []
    module = BUILD[kind](*widths)
    module.load_state_dict(baseline_state(module, f"{salt()}/{size}/{kind}"))
    return module.requires_grad_(False)


def screen_path(size: str) -> ScreenPath:
    with torch.device("meta"):
        path = ScreenPath()
    path.generator, path.decoder = network("G_RGB2INTSCR", size), network("dec", size)  # type: ignore[assignment]
    return path


def read(path: Path) -> tuple[str, dict, dict[str, np.ndarray]]:
    """Size, index entry and arrays of a fixture."""
    with np.load(path) as stored:
        return path.stem.split("_")[1], npz_index(path, "screen")[path.name], dict(stored)


def batch(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def check(screen: Screen, image: np.ndarray, entry: dict, expected: dict[str, np.ndarray]) -> None:
    got = {"scr": screen.code, "dec_raw": screen.raw, "B": screen.once, "B2": screen.page}
    for name, value in got.items():
        step = entry.get("thinned", {}).get(name, 1)
        thinned = value[..., ::step, ::step].numpy()
        assert thinned.shape == expected[name].shape
        assert np.abs(thinned - expected[name]).max() < CLOSE, name
    picture = Image.fromarray(to_levels(screen.page)[0, 0].numpy())
    blended = blend(Image.fromarray(image), picture, 0.5)
    for name, one in (("screen_u8", picture.convert("RGB")), ("blend_u8", blended)):
        assert np.abs(np.asarray(one).astype(int) - expected[name]).max() <= 1, name


@pytest.mark.parametrize("path", npz_cases("screen_*"))
def test_screen_path(path):
    size, entry, expected = read(path)
    if entry["mode"] == "official":
        draws = Draws([torch.Generator().manual_seed(entry["seed"])])
    else:
        draws = FixedNoise(entry["mode"], entry["noise_shapes"])
    screen = screen_path(size)(batch(expected["image"]), draws)
    check(screen, expected["image"], entry, expected)
    if entry["mode"] == "fixed":
        assert not draws.needed, "a noise map was not drawn"


def screen_to_color(size: str) -> ScreenToColor:
    """In float64, whatever it is given."""
    with torch.device("meta"):
        back = ScreenToColor()
    parts = [deepcopy(network(kind, size)).double() for kind in ("G_INTSCR2RGB", "E", "enc")]
    for part in parts:
        part.register_forward_pre_hook(
            lambda module, given: tuple(x.double() if isinstance(x, Tensor) else x for x in given)
        )
    back.colors, back.codes, back.screens = parts  # type: ignore[assignment]
    return back


@pytest.mark.parametrize("path", npz_cases("screen2color_*"))
def test_the_way_back_to_colour(path):
    """As the baseline ``screenvae`` runs it; the lines are given."""
    size, entry, expected = read(path)
    manga, line = (torch.from_numpy(expected[name])[None, None] for name in ("manga", "line"))
    back, draws = screen_to_color(size), FixedNoise(entry.get("noise", "zero"), entry["noise_shapes"])
    mean, variance = back.codes(signed(pad_to_256(batch(expected["rgb"]))))
    screen, page = back(manga, line, torch.from_numpy(expected["z"]), draws)
    got = {"z_enc": mean, "zvar_enc": variance, "real_SCR": screen, "fake_RGB": page}
    for name, value in got.items():
        step = entry.get("thinned", {}).get(name, 1)
        shown = (value[..., ::step, ::step] if value.ndim == 4 else value).numpy()
        assert shown.shape == expected[name].shape
        assert np.abs(shown - expected[name]).max() < CLOSE, name
    assert torch.equal(back.encode(batch(expected["rgb"])), mean)
    if path.stem.endswith("_enc"):
        assert np.abs(expected["z"] - mean.numpy()).max() < CLOSE


@pytest.mark.parametrize("path", npz_cases("screen_small_*_zero")[-1:])
@pytest.mark.parametrize("mistake", ["plain skips", "no 128", "white red", "luma once", "bias left out"])
def test_typical_mistakes_do_not_pass(path, mistake, monkeypatch):
    size, entry, expected = read(path)
    module = screen_path(size)
    if mistake == "plain skips":
        monkeypatch.setattr("colorflow.styles.screen.generator.leaky", lambda x: x)
    elif mistake == "no 128":
        monkeypatch.setattr("colorflow.styles.screen.path.pad_to_next_128", lambda x: x)
    elif mistake == "white red":
        white = lambda x: nn.functional.pad(x, (0, -x.shape[-1] % 256, 0, -x.shape[-2] % 256), value=255)  # noqa: E731
        monkeypatch.setattr("colorflow.styles.screen.path.pad_to_256", white)
    elif mistake == "bias left out":
        monkeypatch.setattr("colorflow.styles.screen.blocks.ChannelScale.apply_to_half", lambda self, x, noise: x)
    screen = module(batch(expected["image"]), Draws())
    if mistake == "luma once":
        screen = screen._replace(page=screen.once)
    with pytest.raises(AssertionError):
        check(screen, expected["image"], entry, expected)


@pytest.mark.parametrize("path", npz_cases("screen_small_*_zero")[:1])
def test_small_weights_are_those_of_the_rule(path):
    """The stored file also checks the filling, hence the full-size networks' weights."""
    stored = stored_weights()
    assert {key.split("/")[0] for key in stored} == BUILD.keys()
    for kind in BUILD:
        state = network(kind, "small").state_dict()
        assert {key for key in stored if key.startswith(f"{kind}/")} == {f"{kind}/{key}" for key in state}
        assert all(torch.equal(stored[f"{kind}/{key}"], value) for key, value in state.items())


@pytest.mark.parametrize("kind", BUILD)
def test_full_size_networks_are_the_official_ones_key_by_key(kind):
    entry = released_keys(kind, "screen.json")
    with torch.device("meta"):
        module = BUILD[kind]()
    assert shapes(module.state_dict()) == entry["state_dict"]
    assert sum(parameter.numel() for parameter in module.parameters()) == entry["params"]


def test_luminance_is_pillows():
    colors = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(luminance(batch(colors))[0, 0].numpy(), Image.fromarray(colors).convert("L"))
