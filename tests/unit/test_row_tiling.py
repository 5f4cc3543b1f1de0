"""Fusion in row tiles: the whole page's numbers, whatever its height, the tile's height and the norm."""

import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.models import noise, randomize
from torch import Tensor

from colorflow.models.gsrp import row_tiling
from colorflow.models.gsrp.fusion import FusionNetwork, PageNorm, ResidualStack
from colorflow.models.gsrp.row_tiling import PageStatistics, run_tiled
from colorflow.utils.memory import MemoryTracker

WIDTHS = (4, 6, 8)


def build(norm_mode: str, seed: int = 3) -> FusionNetwork:
    """Weights, biases and kept statistics away from their neutral start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FusionNetwork(WIDTHS, norm_mode)  # type: ignore[arg-type]
    randomize(net, ".bn", scale=0.5)
    source = torch.Generator().manual_seed(8)
    for name, buffer in net.named_buffers():
        if "running" in name:
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=source))
    return net.eval()


def features(batch: int, height: int, width: int, seed: int = 1) -> list[Tensor]:
    sides = [(max(height >> level, 1), max(width >> level, 1)) for level in (0, 1, 2, 2)]
    widths = [WIDTHS[0], *WIDTHS]
    return [noise(batch, count, *side, seed=seed + count) for count, side in zip(widths, sides, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(8, 33),  # instance statistics need more than one pixel at the coarsest level
    width=st.integers(5, 9),
    rows=st.integers(1, 40),
    batch=st.integers(1, 3),
    norm_mode=st.sampled_from(["batch", "running"]),
)
@torch.no_grad()
def test_tiled_is_untiled(height, width, rows, batch, norm_mode):
    """In float64, so that nothing but an error can differ by this much."""
    net = build(norm_mode).double()
    color, gray = ([item.double() for item in features(batch, height, width, seed)] for seed in (1, 2))
    expected = net(color, gray)
    net.set_row_tile(rows)
    found = net(color, gray)
    assert len(color) == len(gray) == len(expected), "the caller's lists are its own"
    for level, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10, msg=f"level {level}")


@pytest.mark.parametrize("norm_mode", ["batch", "running"])
@torch.no_grad()
def test_tiles_are_really_used(norm_mode, monkeypatch):
    net, seen = build(norm_mode), []
    convolve = row_tiling.conv2d
    watched = lambda tile, weight: (seen.append(tile.shape[-2]), convolve(tile, weight))[1]  # noqa: E731
    monkeypatch.setattr(row_tiling, "conv2d", watched)
    net.set_row_tile(5)
    net(features(1, 24, 16), features(1, 24, 16, seed=2))
    assert max(seen) == 7
    assert sum(rows - 2 for rows in seen) == (24 + 12 + 6 + 6) * 8, "every convolution once, no row twice"


@pytest.mark.parametrize("rows", [None, 3])
@torch.no_grad()
def test_features_go_as_they_are_used(rows):
    net = build("batch")
    net.set_row_tile(rows)
    color, gray = features(1, 24, 16), features(1, 24, 16, seed=2)
    left = [[weakref.ref(pair[0]), weakref.ref(pair[1])] for pair in zip(color, gray, strict=True)]
    levels = net.coarse_to_fine(color, gray)
    for level in reversed(range(len(left))):
        next(levels)
        gone = [one() is None and other() is None for one, other in left]
        assert gone == [number >= level for number in range(len(left))]


def test_two_feature_maps_are_enough():
    with torch.device("meta"):
        stack, features = ResidualStack(8, 8).eval(), [torch.empty(1, 4, 1000, 8), torch.empty(1, 4, 1000, 8)]
    one_map = 4 * 8 * 1000 * 8
    with torch.no_grad(), MemoryTracker() as tracker, tracker.stage("run"):
        tracker.hold(*features)
        run_tiled(stack.children(), features, 10)
    assert features == []
    assert 2 * one_map < tracker.peak < 2.2 * one_map


@pytest.mark.parametrize("mode", ["training", "gradients"])
def test_training_is_never_tiled(mode, monkeypatch):
    monkeypatch.setattr("colorflow.models.gsrp.fusion.run_tiled", None)
    net = build("batch").train(mode == "training")
    net.set_row_tile(2)
    color, gray = features(1, 16, 16), features(1, 16, 16, seed=2)
    with torch.set_grad_enabled(mode == "gradients"):
        found = net(color, gray)
    if mode == "gradients":
        found[0].sum().backward()
        assert all(parameter.grad is not None for parameter in net.two_layer_resnets[0].parameters())


@torch.no_grad()
def test_the_switch_is_checked_and_no_part_of_the_weights():
    net = build("batch")
    net.set_row_tile(4)
    assert "row_tile" not in net.config
    net.set_row_tile(None)
    assert net.row_tile is None
    for rows in (0, -4):
        with pytest.raises(ValueError, match=f"row_tile: expected None or at least 1 row, got {rows}"):
            net.set_row_tile(rows)


@torch.no_grad()
def test_statistics_hold_far_from_zero():
    """A mean of 1000 beside a spread of 1: sums of squares in float32 would lose the variance."""
    norm = PageNorm(3)
    page = 1000 + noise(2, 3, 41, 7)
    gathered = PageStatistics(norm)
    for tile in page.split(4, dim=-2):
        gathered.add(tile)
    variance, mean = torch.var_mean(page.double(), dim=(2, 3), correction=0)
    torch.testing.assert_close(gathered.mean, mean, rtol=1e-7, atol=0)
    torch.testing.assert_close(gathered.squares / gathered.count, variance, rtol=1e-4, atol=0)


@torch.no_grad()
def test_bfloat16_pages_have_float32_statistics():
    """Against the whole page in float32: tiling adds nothing to what bfloat16 costs anyway."""
    stack = ResidualStack(6, 4)
    for norm in (module for module in stack.modules() if isinstance(module, PageNorm)):
        norm.norm_mode = "batch"
    page = noise(2, 6, 40, 12).bfloat16()
    exact = stack.eval()(page.float())
    half = stack.bfloat16()
    whole, tiled = half(page), run_tiled(half.children(), [page], 7)
    assert tiled.dtype == torch.bfloat16
    assert (tiled - exact).abs().mean() < 1.2 * (whole - exact).abs().mean()
