"""Muon beside AdamW: which parameters it takes, and what a step of either is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from colorflow.tasks.muon import MuonAdamW, orthogonalized


def network():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "conv_in": nn.Conv2d(3, 8, 3),
            "conv": nn.Conv2d(8, 12, 3),
            "norm": nn.GroupNorm(4, 12),
            "out": nn.Linear(12, 20),
        }
    )


def step(net, optimizer, seed=0):
    source = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=source)
    optimizer.step()


def test_ends_norms_and_biases_are_adamws():
    net = network()
    optimizer = MuonAdamW(net.named_parameters())
    names = [group["param_names"] for group in optimizer.param_groups]
    assert names[1] == ["conv.weight", "out.weight"]
    assert sorted(names[0] + names[1]) == sorted(dict(net.named_parameters()))


def test_adamws_part_steps_as_adamw_does():
    net, twin = network(), network()
    ours = MuonAdamW(net.named_parameters(), lr=0.01, weight_decay=0.1)
    rest = [value for name, value in twin.named_parameters() if name not in ("conv.weight", "out.weight")]
    theirs = torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for seed in range(3):
        step(net, ours, seed)
        step(twin, theirs, seed)
    for name in ("conv_in.weight", "norm.bias", "out.bias"):
        torch.testing.assert_close(net.get_parameter(name), twin.get_parameter(name), atol=0, rtol=0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_steps_as_torchs_muon_steps_its_matrix(memory_format):
    """torch computes in bfloat16, so directions agree to its rounding: 3 decimals of update RMS 0.2 lr."""
    net = network()
    net["conv"].to(memory_format=memory_format)
    start = net["conv"].weight.detach().clone()
    matrix = nn.Parameter(start.flatten(1).clone())
    ours = MuonAdamW(net.named_parameters(), lr=0.01, weight_decay=0.1)
    theirs = torch.optim.Muon([matrix], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for seed in range(3):
        step(net, ours, seed)
        matrix.grad = net["conv"].weight.grad.flatten(1).clone()
        theirs.step()
    moved, expected = (value.detach().flatten(1) - start.flatten(1) for value in (net["conv"].weight, matrix))
    assert (moved - expected).norm() < 0.02 * expected.norm()
    assert expected.norm() > 0.01


@pytest.mark.parametrize("shape", [(2, 6, 9), (1, 9, 6)])
def test_singular_values_come_near_one(shape):
    """Jordan's coefficients leave them in [0.6, 1.25], and keep the singular vectors."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalized(matrices)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.25
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inner = left.mT @ found @ right.mT
    assert (inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4


def test_a_resumed_run_goes_on_exactly():
    net = network()
    optimizer = MuonAdamW(net.named_parameters(), lr=0.01)
    step(net, optimizer)
    twin = copy.deepcopy(net)
    resumed = MuonAdamW(twin.named_parameters(), lr=0.01)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in (1, 2):
        step(net, optimizer, seed)
        step(twin, resumed, seed)
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_the_closure_runs_once_with_gradients():
    net, calls = network(), []

    def closure():
        loss = net["out"](torch.ones(1, 12)).sum()
        loss.backward()
        calls.append(loss)
        return loss

    assert MuonAdamW(net.named_parameters()).step(closure) is calls[0]
    assert len(calls) == 1


def test_nothing_for_muon_is_refused():
    with pytest.raises(ValueError, match="matrices or convolutions to train, got none; use AdamW"):
        MuonAdamW(nn.GroupNorm(4, 12).named_parameters())
