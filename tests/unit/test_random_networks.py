"""Random weights tell pages apart and are the same each time: a test through them can find a mistake."""

import pytest
import torch
from tiny.networks import register_tiny_clip

from colorflow import metrics
from colorflow.metrics import extractors
from colorflow.metrics.aesthetic_head import load_head
from colorflow.toon import ToonSpec, draw_page

FAIR = 0.1
"""Least distance of two pages' answers over their size: our choice, far above rounding (1e-6) and neighbours (1e-3)."""

NETWORKS = {
    "inception": lambda: metrics.inception(random=True, batch_size=4),
    "inception, legacy": lambda: metrics.inception(random=True, resize="legacy", batch_size=4),
    "clip": lambda: metrics.clip("ViT-B-32", random=True, batch_size=4),
}


@pytest.fixture(scope="module")
def drawn():
    return [draw_page(seed, 0, ToonSpec(size=(96, 144))).color for seed in range(4)]


def answers(network, pages):
    return network.forward([network.prepare(page) for page in pages]).double()


def least_distance(features):
    return float(torch.pdist(features).min() / features.norm(dim=1).mean())


@pytest.mark.parametrize("name", NETWORKS)
def test_features_vary_from_page_to_page_and_are_the_same_again(name, drawn):
    before = torch.get_rng_state()
    network, again = NETWORKS[name](), NETWORKS[name]()
    assert torch.equal(before, torch.get_rng_state())
    assert network.digest == again.digest
    features = answers(network, drawn)
    assert least_distance(features) > FAIR
    assert 0.1 < float(features.std()) < 10


def test_every_inception_feature_is_alive(drawn):
    """All 2,048: a Frechet distance over constant features would not see them."""
    features = answers(NETWORKS["inception"](), drawn)
    assert float((features.std(0) > 1e-3).float().mean()) > 0.99


def test_frechet_distance_through_random_weights_sees_a_cast(drawn):
    network = NETWORKS["inception"]()
    tinted = [page.point([min(255, level + 60) for level in range(256)] + list(range(256)) * 2) for page in drawn]
    features = [answers(network, pages) for pages in (drawn, tinted)]
    apart = float(metrics.frechet_distance(*features))
    assert apart > 1 > 1e-6 > abs(float(metrics.frechet_distance(features[0], features[0])))


def test_as_the_library_initializes_it_inception_would_not(drawn):
    """Why the weights are filled: the signal fades, and the test above would see 1e-14."""
    network = extractors._fidelity_inception(None)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d):
            module.reset_parameters()
    layers = extractors._feature_layers(network).eval()
    with torch.no_grad():
        features = layers((torch.stack([extractors._clean_pixels(page) for page in drawn]) - 128) / 128).double()
    assert float(features.norm(dim=1).mean()) < 1e-3


def test_random_lpips_varies_and_is_the_same_again(drawn):
    network, again = (metrics.lpips_network(random=True, batch_size=4) for _ in range(2))
    assert network.digest == again.digest
    pairs = [network.prepare(drawn[0], page) for page in drawn]
    distances = network.forward(pairs).flatten().tolist()
    assert distances[0] == 0
    assert min(distances[1:]) > 0.01
    assert len({round(one, 4) for one in distances}) == 4


def test_random_aesthetic_scores_vary_as_embeddings_do(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(extractors, "AESTHETIC_CLIP", (register_tiny_clip(tmp_path), "openai"))
    network = metrics.aesthetic_predictor(random=True, batch_size=4)
    scores = answers(network, drawn).flatten()
    assert float(scores.std() / scores.abs().mean()) > FAIR / 2
    head = load_head(random=True)
    embeddings = torch.nn.functional.normalize(torch.randn(200, 768, generator=torch.Generator().manual_seed(0)), dim=1)
    with torch.no_grad():
        assert 0.2 < float(head(embeddings).std() * 768**0.5) < 5
