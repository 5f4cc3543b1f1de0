"""Attention maps: equal to a softmax worked out apart, nothing of the result changed, regions and layers checked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.comics import BlockEncoder, draw_page
from tiny.models import FAMILIES, PAGE_SIZE, pixart_on_meta, sd15_on_meta, tiny_model, tiny_pipeline
from torch import Tensor

from colorflow.canvas import canvas_size, query_box
from colorflow.models import attention_record
from colorflow.models.attention_record import (
    default_layer,
    mean_attention,
    record_attention,
    self_attention_layers,
    token_grid,
)
from colorflow.pipelines.attention import (
    AttentionMap,
    AttentionSettings,
    attention_layers,
    attention_map,
    region_on_canvas,
    tokens_in,
)
from colorflow.pipelines.attention_picture import draw_attention
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import Sampling
from colorflow.retrieval.retriever import SimilarityRetriever

PAGE = draw_page(0)
REFERENCES = [draw_page(number) for number in (1, 2)]
REGION = (0.1, 0.2, 0.6, 0.7)
STEPS = 3


def pipeline(family: str, guidance_scale: float = 1.0) -> ColorFlowPipeline:
    sampling = Sampling(STEPS, guidance_scale=guidance_scale)
    icp, retriever = tiny_pipeline(FAMILIES[family]()), SimilarityRetriever(BlockEncoder())
    return ColorFlowPipeline(icp, retriever, PAGE_SIZE, sampling)


@pytest.fixture(scope="module", params=list(FAMILIES))
def pipe(request: pytest.FixtureRequest) -> ColorFlowPipeline:
    return pipeline(request.param)


def explicit(attention: torch.nn.Module, hidden: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) of every head, ``(B, heads, N, N)``, in float64, from the projections' weights alone."""

    def project(layer: torch.nn.Module) -> Tensor:
        base = getattr(layer, "base_layer", layer)
        weight = base.weight.detach().double()
        if base is not layer:
            scale = layer.scaling["default"]
            weight = weight + scale * layer.lora_B["default"].weight.double() @ layer.lora_A["default"].weight.double()
        projected = hidden.double() @ weight.detach().T
        if base.bias is not None:
            projected = projected + base.bias.detach().double()
        batch, count, width = projected.shape
        return projected.reshape(batch, count, attention.heads, width // attention.heads).permute(0, 2, 1, 3)

    queries, keys = project(attention.to_q), project(attention.to_k)
    scores = torch.einsum("bhid,bhjd->bhij", queries, keys) / queries.shape[-1] ** 0.5
    weights = scores.exp()
    return weights / weights.sum(dim=-1, keepdim=True)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 100, 1 << 24])
def test_maps_are_the_softmax_of_queries_and_keys(pipe, monkeypatch, chunk):
    monkeypatch.setattr(attention_record, "_CHUNK", chunk)
    network, inputs = pipe.icp.model.network, {}

    def keep(_: torch.nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        inputs.setdefault("hidden", given[0] if given else named["hidden_states"])

    for layer in attention_layers(pipe):
        attention = network.get_submodule(layer)
        hook = attention.register_forward_pre_hook(keep, with_kwargs=True)
        found = attention_map(pipe, PAGE, REFERENCES, AttentionSettings(REGION, layer, steps=[0]), seed=1)
        hook.remove()
        hidden = inputs.pop("hidden")
        tokens = tokens_in(found.box, found.output.canvas.size, tuple(found.weights.shape))
        assert len(tokens) >= 1
        expected = explicit(attention, hidden)[0][:, tokens].mean(dim=(0, 1))
        # float32 against float64: sums of some hundred products of order one
        torch.testing.assert_close(found.weights.flatten().double(), expected, atol=1e-6, rtol=1e-5)
        assert found.weights.sum() == pytest.approx(1, abs=1e-5)
        assert expected.std() > 0, "even attention would hide every mistake in the indices"


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_recording_changes_nothing(guidance_scale):
    for family in FAMILIES:
        pipe = pipeline(family, guidance_scale)
        plain = pipe(PAGE, REFERENCES, seed=4)
        found = attention_map(pipe, PAGE, REFERENCES, AttentionSettings(REGION), seed=4)
        assert np.array_equal(np.asarray(found.output.image), np.asarray(plain.image))
        after = pipe(PAGE, REFERENCES, seed=4)
        assert np.array_equal(np.asarray(after.image), np.asarray(plain.image))
        assert not any(module._forward_pre_hooks for module in pipe.icp.model.network.modules()), "hooks are taken off"


def test_steps_are_averaged(pipe):
    def weights(steps: list[int] | None) -> Tensor:
        found = attention_map(pipe, PAGE, REFERENCES, AttentionSettings(REGION, steps=steps), seed=2)
        assert found.steps == tuple(range(STEPS) if steps is None else steps)
        return found.weights

    each = [weights([step]) for step in range(STEPS)]
    assert not torch.equal(each[0], each[2])
    torch.testing.assert_close(weights(None), torch.stack(each).mean(dim=0))
    torch.testing.assert_close(weights([0, 2]), (each[0] + each[2]) / 2)


def test_under_guidance_the_map_is_of_the_prompt():
    pipe = pipeline("sd", 4.0)
    layer = default_layer(pipe.icp.model.network)
    found = attention_map(pipe, PAGE, REFERENCES, AttentionSettings(REGION, layer, steps=[1]), seed=2)
    choose = lambda grid: tokens_in(found.box, found.output.canvas.size, grid)  # noqa: E731
    with record_attention(pipe.icp.model.network, layer, choose) as maps:
        pipe(PAGE, REFERENCES, seed=2)
    assert maps[1].shape[0] == 2
    assert torch.equal(found.weights, maps[1][1])
    assert not torch.equal(maps[1][0], maps[1][1])


def test_a_region_attends_to_where_the_keys_agree():
    attention = torch.nn.Module()
    attention.heads, attention.scale = 2, 1.0
    attention.to_q = attention.to_k = torch.nn.Identity()
    hidden = torch.zeros(1, 12, 4)
    hidden[0, [2, 3, 9]] = 20.0
    found = mean_attention(attention, hidden, torch.tensor([2, 3]))
    assert found[0, [2, 3, 9]].tolist() == pytest.approx([1 / 3] * 3)
    alone = mean_attention(attention, hidden, torch.tensor([0]))
    assert alone[0].tolist() == pytest.approx([1 / 12] * 12)


# Layers.


def test_layers_of_the_full_size_models():
    sd, pixart = sd15_on_meta().network, pixart_on_meta().network
    names = self_attention_layers(sd)
    assert len(names) == 16
    assert names[0] == "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    assert names[6] == "mid_block.attentions.0.transformer_blocks.0.attn1"
    assert names[-1] == "up_blocks.3.attentions.2.transformer_blocks.0.attn1"
    assert default_layer(sd) == "up_blocks.2.attentions.0.transformer_blocks.0.attn1"
    assert self_attention_layers(pixart) == [f"transformer_blocks.{number}.attn1" for number in range(28)]
    assert default_layer(pixart) == "transformer_blocks.18.attn1"


@pytest.mark.parametrize(
    ("family", "layer", "grid"),
    [
        ("sd", "down_blocks.0.attentions.0.transformer_blocks.0.attn1", (200, 128)),
        ("sd", "up_blocks.2.attentions.0.transformer_blocks.0.attn1", (100, 64)),
        ("sd", "mid_block.attentions.0.transformer_blocks.0.attn1", (25, 16)),
        ("pixart", "transformer_blocks.18.attn1", (100, 64)),
    ],
)
def test_maps_of_the_full_size_models_have_the_layers_grid(family, layer, grid):
    """On the meta device: a 1024 x 1600 canvas through the real network, shapes only."""
    model = {"sd": sd15_on_meta, "pixart": pixart_on_meta}[family](9)
    canvas, seen = (1024, 1600), []

    def choose(found: tuple[int, int]) -> Tensor:
        seen.append(found)
        return tokens_in((300, 500, 500, 700), canvas, found)

    network = model.network
    latents = torch.empty(1, 4, 200, 128, device="meta")
    text = torch.empty(1, 120 if family == "pixart" else 77, 4096 if family == "pixart" else 768, device="meta")
    condition, timesteps = torch.empty(1, 9, 200, 128, device="meta"), torch.tensor([500], device="meta")
    mask = torch.empty(1, 120, device="meta") if family == "pixart" else None
    with pytest.raises(NotImplementedError, match="meta"), record_attention(network, layer, choose):
        model(latents, timesteps, condition, text, 1.0, mask)  # ends where the map would be copied from the device
    assert seen == [grid]


def test_grids_and_tokens_of_a_region():
    assert [token_grid(count, (25, 16)) for count in (400, 13 * 8, 7 * 4, 4 * 2)] == [(25, 16), (13, 8), (7, 4), (4, 2)]
    with pytest.raises(ValueError, match="the tokens of a level of 16 x 25, got 100"):
        token_grid(100, (25, 16))
    grid = (6, 4)  # of a canvas of 64 x 96: tokens of 16 x 16
    assert tokens_in((16, 16, 48, 48), (64, 96), grid).tolist() == [5, 6, 9, 10]
    assert tokens_in((17, 33, 20, 35), (64, 96), grid).tolist() == [9], "smaller than a token"
    assert tokens_in((0, 0, 64, 96), (64, 96), grid).tolist() == list(range(24))
    assert tokens_in((63.9, 95.9, 64, 96), (64, 96), grid).tolist() == [23]


def test_unknown_layers_and_steps_that_are_not_taken_are_told(pipe):
    for steps in ([], [STEPS], [-1], [0, 7]):
        with pytest.raises(ValueError, match="attention steps: expected some of 0 to 2, got"):
            attention_map(pipe, PAGE, REFERENCES, AttentionSettings(REGION, steps=steps))
    with pytest.raises(ValueError, match=r"expected one of (.*\.)?0\.attn1, .*; got 'attn1'"):
        attention_map(pipe, PAGE, REFERENCES, AttentionSettings(REGION, "attn1"))
    with (
        pytest.raises(ValueError, match="got 'conv_in'"),
        record_attention(pipe.icp.model.network, "conv_in", lambda grid: torch.arange(1)),
    ):
        pass


def test_a_network_that_did_not_run_is_told():
    network = tiny_model().network
    layer = default_layer(network)
    with (
        pytest.raises(RuntimeError, match="it has not run"),
        record_attention(network, layer, lambda grid: torch.arange(1)),
    ):
        pass
    with (
        pytest.raises(KeyError, match="mine"),  # an error of the block is not covered up
        record_attention(network, layer, lambda grid: torch.arange(1)),
    ):
        raise KeyError("mine")


# Regions.


@pytest.mark.parametrize(
    ("region", "page", "size", "box"),
    [
        ((0, 0, 1, 1), (300, 400), (48, 64), (24, 32, 72, 96)),
        ((0.5, 0.25, 1, 0.5), (300, 400), (48, 64), (48, 48, 72, 64)),
        ((150, 100, 300, 200), (300, 400), (48, 64), (48, 48, 72, 64)),
        ((0, 0, 300, 400), (300, 400), (48, 64), (24, 32, 72, 96)),
        ((100, 0, 200, 64), (300, 64), (64, 64), (32, 32, 96, 96)),  # cropped to 118..182
    ],
)
def test_regions_on_the_canvas(region, page, size, box):
    assert region_on_canvas(region, page, size) == pytest.approx(box)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((0.5, 0.5, 0.5, 0.7), "expected a box"),
        ((0.5, 0.5, 0.4, 0.7), "expected a box"),
        ((-0.1, 0, 0.5, 0.5), "expected a box"),
        ((10, 10, 301, 20), "in a page of 300 x 64 pixels, or in fractions"),
        ((0, 0, 100, 64), r"in the part of the page that the canvas shows, \[118, 0, 182, 64\]"),
        ((0, 0, 1), "expected left, top, right and bottom"),
    ],
)
def test_regions_that_are_none_are_told(region, message):
    with pytest.raises(ValueError, match=message):
        region_on_canvas(region, (300, 64), (64, 64))


# The picture.


def found_map(weights: Tensor, pipe: ColorFlowPipeline) -> AttentionMap:
    base = attention_map(pipe, PAGE, REFERENCES, AttentionSettings(REGION), seed=1)
    return replace(base, weights=weights, box=tuple(float(edge) for edge in query_box(PAGE_SIZE)))


def test_the_picture_is_hot_where_the_weights_are_and_even_weights_have_a_scale(pipe):
    weights = torch.full((12, 8), 1e-3)
    weights[8:, 6:] = 1.0
    picture = draw_attention(found_map(weights / weights.sum(), pipe), "ep/p1")
    width = picture.width // 2
    right = np.asarray(picture)[40:720, width + 20 : -20].astype(int)
    half = right.shape[0] // 2
    assert right[half + 200 :, right.shape[1] // 2 + 150 :, 0].mean() > right[: half - 100, :200, 0].mean() + 80
    outline = (np.asarray(picture) == (0, 183, 255)).all(axis=2)
    assert outline[:, :width].sum() == pytest.approx(outline[:, width:].sum(), rel=0.05)
    assert outline[:, :width].sum() > 1000, "the region is outlined on both"
    assert picture.size[1] > 720
    picture = draw_attention(found_map(torch.full((3, 2), 1 / 6), pipe))
    assert isinstance(picture, Image.Image)
    assert canvas_size(PAGE_SIZE)[1] < picture.height
