"""What a few tokens attend to in one self-attention layer of a base network, recorded while it runs.

A pre-hook works the asked rows of softmax(Q K^T / sqrt(d)) out beside the layer's own computation, a few at a time: the
whole matrix of a 1024 x 1600 canvas has 25,600 x 25,600 entries a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import ModelMixin
from torch import Tensor, nn

ChooseTokens = Callable[[tuple[int, int]], Tensor]
"""From the layer's grid (rows, columns) to the indices ``(R,)`` of the tokens asked for, counted row by row."""

_CHUNK = 1 << 24
"""Scores held at once, in numbers: 64 MiB in float32 (our choice)."""


def self_attention_layers(network: ModelMixin) -> list[str]:
    """Names of the self-attention layers of a U-Net or a PixArt transformer, in the order of its blocks."""
    names = [name for name, _ in network.named_modules() if name.endswith(".attn1")]
    order = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}  # diffusers registers the middle block last
    return sorted(names, key=lambda name: order.get(name.split(".")[0], 0))


def default_layer(network: ModelMixin) -> str:
    """The layer two thirds through: in SD1.5 the first of the second-finest level on the way up (our choice)."""
    names = self_attention_layers(network)
    return names[2 * len(names) // 3]


@contextmanager
def record_attention(network: ModelMixin, layer: str, choose: ChooseTokens) -> Iterator[list[Tensor]]:
    """Record what the chosen tokens attend to, each time the network runs.

    Args:
        network: A U-Net or PixArt transformer, with or without LoRA; run as it is, not compiled.
        layer: One of `self_attention_layers`.
        choose: Which tokens.

    Yields:
        A list that gets ``(B, rows, columns)`` float32 on the CPU for each run: the mean over heads and chosen tokens
        of the softmax over all tokens; each sums to 1.

    Raises:
        ValueError: For a layer that the network does not have.
        RuntimeError: If the block ends without error and the layer has not run.
    """
    names = self_attention_layers(network)
    if layer not in names:
        raise ValueError(f"attention layer: expected one of {', '.join(names)}; got {layer!r}")
    entry = network.get_submodule("conv_in" if hasattr(network, "conv_in") else "pos_embed")
    latents: list[tuple[int, int]] = []
    maps: list[Tensor] = []

    def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        latents[:] = [tuple(inputs[0].shape[-2:])]

    def read(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        hidden = inputs[0] if inputs else named["hidden_states"]
        rows, columns = token_grid(hidden.shape[1], latents[0])
        attended = mean_attention(module, hidden, choose((rows, columns)))
        maps.append(attended.unflatten(1, (rows, columns)).cpu())

    hooks = [
        entry.register_forward_pre_hook(enter),
        network.get_submodule(layer).register_forward_pre_hook(read, with_kwargs=True),
    ]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()
    if not maps:
        raise RuntimeError(f"attention layer {layer}: it has not run; record on a network that is not compiled")


def token_grid(count: int, latents: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of ``count`` tokens on latents ``(h, w)``: every level halves both sides, rounding up.

    Raises:
        ValueError: If no level has as many tokens.
    """
    rows, columns = latents
    while rows * columns > count:
        rows, columns = -(-rows // 2), -(-columns // 2)
    if rows * columns != count:
        raise ValueError(f"token_grid: expected the tokens of a level of {latents[1]} x {latents[0]}, got {count}")
    return rows, columns


@torch.no_grad()
def mean_attention(attention: Any, hidden: Tensor, tokens: Tensor) -> Tensor:
    """What tokens attend to in a self-attention, averaged over them and over the heads.

    Args:
        attention: diffusers' ``Attention`` without query or key norm.
        hidden: ``(B, N, D)`` input of the layer.
        tokens: ``(R,)`` integer indices in [0, N), at least one.

    Returns:
        ``(B, N)`` float32; each row sums to 1. Scores and softmax are in float32 whatever the layer computes in.
    """
    queries = attention.to_q(hidden[:, tokens.to(hidden.device)])
    queries = queries.unflatten(-1, (attention.heads, -1)).transpose(1, 2).float()
    keys = attention.to_k(hidden).unflatten(-1, (attention.heads, -1)).permute(0, 2, 3, 1).float()
    total = torch.zeros(hidden.shape[:2], device=hidden.device)
    chunk = max(1, _CHUNK // (queries.shape[0] * attention.heads * hidden.shape[1]))
    for part in queries.split(chunk, dim=2):
        total += (part @ keys * attention.scale).softmax(dim=-1).mean(dim=1).sum(dim=1)
    return total / len(tokens)
