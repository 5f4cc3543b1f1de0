"""EBMC against the official networks and steps: fixtures ``ebmc_*``.

Tolerances are those stated beside the fixtures: 2e-4 on network outputs, one level on pictures (which are cut off
below the point).
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.models import released_keys
from torch import nn

from colorflow.baselines.ebmc import EbmcColorizer, EbmcNetworks
from colorflow.baselines.ebmc import networks as ebmc
from colorflow.retrieval.encoders import HogEncoder
from colorflow.retrieval.retriever import SimilarityRetriever
from parity.filling import baseline_state, override
from parity.fixtures import assert_official, npz_cases, npz_index

CLOSE = 2e-4
PARTS = ("colorEncoder", "colorUNet")


def fill(network: nn.Module, part: str, index: dict) -> None:
    """By the rule; the second copy of each VGG tensor is the first, as the facts beside the fixtures have it."""
    state = baseline_state(network, index["salt"].replace("<net>", part))
    for key in state:
        if key.startswith("vgg.vgg_feature."):
            state[key] = state[f"vgg.vgg_model.features.{key.removeprefix('vgg.vgg_feature.')}"]
    rules = [rule for rule in index["overrides"] if rule["net"] == part]
    network.load_state_dict(override(state, rules))


@cache
def networks(folder: Path) -> EbmcNetworks:
    index = npz_index(folder / "any", "ebmc")
    made = EbmcNetworks(hidden=1)  # the classifier never runs
    for part in PARTS:
        fill(made.get_submodule(part), part, index)
    return made.eval().requires_grad_(False)


def method(path: Path) -> EbmcColorizer:
    size = npz_index(path, "ebmc")["cases"][path.name]["size"]
    return EbmcColorizer(networks(path.parent), SimilarityRetriever(HogEncoder()), size=size)


@pytest.mark.parametrize("path", npz_cases("ebmc_*"))
def test_encoder_and_unet(path):
    made = networks(path.parent)
    with np.load(path) as stored:
        code = made.colorEncoder(torch.from_numpy(stored["ref_in"]))
        assert np.abs(code.numpy() - stored["color_vector"]).max() < CLOSE
        chroma = made.colorUNet(torch.from_numpy(stored["L_in"]), torch.from_numpy(stored["color_vector"]))
        assert np.abs(chroma.numpy() - stored["ab"]).max() < CLOSE


@pytest.mark.parametrize("path", npz_cases("ebmc_*"))
def test_page_and_reference_to_page(path):
    with np.load(path) as stored:
        (page,) = method(path).paint([Image.fromarray(stored["image"])], [Image.fromarray(stored["reference"])])
        assert np.abs(np.asarray(page).astype(int) - stored["rgb"]).max() <= 1


@pytest.mark.parametrize("path", npz_cases("ebmc_*")[:1])
@pytest.mark.parametrize(("name", "value"), [("_SKIPPED", 1), ("sqrt", lambda _: 1.0), ("_TINY", 1.0)])
def test_typical_mistakes_do_not_pass(path, name, value, monkeypatch):
    """The first channels of a skip in place of every fourth; no division after a residual; no demodulation."""
    made = networks(path.parent)
    if name == "_SKIPPED":
        first = lambda self, x, skip, code: _up(self, x, skip[:, : skip.shape[1] // 4], code)  # noqa: E731
        monkeypatch.setattr(ebmc._Up, "forward", first)
    monkeypatch.setattr(ebmc, name, value)
    with np.load(path) as stored:
        chroma = made.colorUNet(torch.from_numpy(stored["L_in"]), torch.from_numpy(stored["color_vector"]))
        assert np.abs(chroma.numpy() - stored["ab"]).max() > 20 * CLOSE


_up = ebmc._Up.forward


@pytest.mark.parametrize("part", PARTS)
def test_the_networks_are_the_official_ones_key_by_key(part):
    entry = released_keys("ebmc", "baselines.json")[part]
    with torch.device("meta"):
        network = EbmcNetworks().get_submodule(part)
    assert_official(network, entry)
