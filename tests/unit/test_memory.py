"""Counting bytes: views once, freed when gone, the peak with its stage, attention as a GPU's kernels hold it."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional

from colorflow.utils.memory import AllocatorPeaks, MemoryTracker

DEVICES = pytest.mark.parametrize("device", ["meta", "cpu"])
KILO = 1000 * 4
"""Bytes of 1,000 float32."""


@DEVICES
def test_live_bytes_come_and_go(device: str) -> None:
    with MemoryTracker(device) as tracker:
        one = torch.empty(1000, device=device)
        assert tracker.live == KILO
        two = one + 1
        assert tracker.live == 2 * KILO
        del one
        assert tracker.live == KILO
        del two
    assert tracker.live == 0


@DEVICES
def test_views_and_writes_in_place_count_once(device: str) -> None:
    with MemoryTracker(device) as tracker:
        whole = torch.empty(10, 100, device=device)
        part = whole[3:].view(-1)
        part.add_(1)
        whole.transpose(0, 1).relu_()
        assert tracker.live == KILO
        del whole
        assert tracker.live == KILO, "the view still holds all of it"
        del part
        assert tracker.live == 0


@DEVICES
def test_peak_and_its_stage(device: str) -> None:
    with MemoryTracker(device) as tracker:
        assert (tracker.peak, tracker.stages) == (0, {})
        torch.empty(9000, device=device)  # outside every stage
        kept = torch.empty(1000, device=device)
        with tracker.stage("small"):
            kept + 1
        with tracker.stage("large"):
            ((kept + 1) + 2) + 3  # two at a time beside the first
            kept = kept + 1
        with tracker.stage("small"):
            pass
    assert tracker.stages == {"small": 2 * KILO, "large": 3 * KILO}
    assert tracker.peak == tracker.stages["large"] == 3 * KILO


def test_a_stage_starts_with_what_is_there() -> None:
    with MemoryTracker() as tracker:
        kept = torch.empty(1000, device="meta")
        with tracker.stage("idle"):
            pass
    assert tracker.stages == {"idle": KILO}
    del kept


@DEVICES
def test_weights_are_held_and_released(device: str) -> None:
    with torch.device(device):
        net = nn.Sequential(nn.Linear(9, 100), nn.BatchNorm1d(100))
    size = sum(value.numel() * value.element_size() for value in net.state_dict().values())
    assert size == 4 * (900 + 100 + 4 * 100) + 8
    tracker = MemoryTracker(device)
    tracker.hold(net)
    tracker.hold(net[0], net[0].weight)
    assert tracker.live == size, "twice is once"
    with tracker, torch.no_grad(), tracker.stage("run"):
        net[0](torch.empty(10, 9, device=device))
    assert tracker.peak == size + 4 * (90 + 1000)
    tracker.release(net[1])
    assert tracker.live == 4 * 1000
    tracker.release(net)
    tracker.release(net)
    assert tracker.live == 0
    tracker.hold(net)
    assert tracker.live == size, "they came back"
    del net
    gc.collect()
    assert tracker.live == 0


def test_other_devices_are_not_counted() -> None:
    with MemoryTracker("meta") as tracker:
        here = torch.empty(1000)
        tracker.hold(here)
        assert tracker.live == 0


def test_what_was_freed_is_not_mistaken_for_what_came_after() -> None:
    """Storages at a reused address: counted anew."""
    with MemoryTracker("cpu") as tracker:
        for size in range(1, 200):
            tensor = torch.empty(size)
            assert tracker.live == 4 * size
            del tensor
        assert tracker.live == 0


def test_attention_is_a_fused_kernel_on_meta() -> None:
    query, key, value = (torch.empty(2, 3, *size, device="meta") for size in ((50, 8), (70, 8), (70, 4)))
    with torch.no_grad():
        with MemoryTracker() as tracker, tracker.stage("attention"):
            output = functional.scaled_dot_product_attention(query, key, value=value)
        assert tracker.peak == 4 * 2 * 3 * 50 * (4 + 1)
        assert output.shape == (2, 3, 50, 4)
        assert output.transpose(1, 2).is_contiguous(), "heads join without a copy, as after the real kernels"
        scores = 4 * 2 * 3 * 50 * 70
        with MemoryTracker() as explicit, explicit.stage("attention"):
            (query @ key.transpose(-1, -2)).softmax(-1) @ value
        assert explicit.peak >= 2 * scores > tracker.peak


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_attention_inside_of_torchs_own_module_is_fused_too(mode: type) -> None:
    """The form in which open_clip's towers have it."""
    with torch.device("meta"):
        attention, tokens = nn.MultiheadAttention(8, 2, batch_first=True), torch.empty(3, 500, 8)
    with mode(), MemoryTracker() as tracker, tracker.stage("attention"):
        attention(tokens, tokens, tokens, need_weights=False)
    assert tracker.peak < 4 * 3 * 500 * 500, "not even the scores of one head"


def test_attention_elsewhere_is_left_alone() -> None:
    query = torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = functional.scaled_dot_product_attention(query, query, query)
    with MemoryTracker("meta"):
        assert torch.equal(functional.scaled_dot_product_attention(query, query, query), expected)


def test_modes_end_with_the_block() -> None:
    before = functional.scaled_dot_product_attention
    with pytest.raises(RuntimeError, match="stop"), MemoryTracker("meta"):
        raise RuntimeError("stop")
    assert functional.scaled_dot_product_attention is before
    tracker = MemoryTracker("cpu")
    with pytest.raises(RuntimeError, match="stop"), tracker:
        raise RuntimeError("stop")
    kept = torch.empty(1000)
    assert tracker.live == 0
    with tracker:
        kept = kept + 1
        assert tracker.live == KILO


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_allocator_agrees() -> None:
    found = {}
    for peaks in (MemoryTracker("cuda"), AllocatorPeaks("cuda")):
        start = torch.cuda.memory_allocated()
        with peaks, peaks.stage("sum"):
            one = torch.empty(2**20, device="cuda")
            one + 1
            del one
        found[type(peaks)] = peaks.peak - (start if isinstance(peaks, AllocatorPeaks) else 0)
    assert found == {MemoryTracker: 2 * 2**22, AllocatorPeaks: 2 * 2**22}
