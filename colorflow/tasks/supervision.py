"""Attention supervision: in training, tokens of the query are told which tokens of the references show the same thing.

Stable Diffusion has such correspondences from its scale; a small network does not find them in thousands of steps
(docs/deviations.md). Generated comics know them: their palette indices. Nothing of this is used at inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ModelMixin
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from colorflow.models.attention_record import token_grid

FIRST_COLOR = 4
"""Palette indices below are paper, ink and white, which no reference has to tell."""

OUTSIDE = 255


class AttentionSupervision:
    """Keeps queries and keys of some self-attention layers where gradients are asked for, and scores where they look.

    Args:
        layers: Names of ``attn1`` modules. Their first head is supervised; blocks that are compiled are not seen.
        weights: Pairs of a step and the loss's weight from it on: ``[(0, 1.0), (600, 0.2)]``.
        max_tokens: Layers of more tokens are left out of a step: their matrices cost too much.
    """

    def __init__(self, layers: Sequence[str], weights: Sequence[tuple[int, float]], max_tokens: int = 1024) -> None:
        if not layers or 0 not in dict(weights):
            raise ValueError(
                f"AttentionSupervision: expected layers, and a weight from step 0 on, got {layers}, {weights}"
            )
        self.layers, self.weights, self.max_tokens = tuple(layers), dict(weights), max_tokens
        self._attentions: dict[str, Any] = {}
        self._kept: dict[tuple[str, str], Tensor] = {}

    def watch(self, network: ModelMixin) -> None:
        """Keep queries and keys of the network's layers from now on.

        Raises:
            ValueError: For a layer that the network does not have.
        """
        known = dict(network.named_modules())
        for layer in self.layers:
            if layer not in known:
                names = [name for name in known if name.endswith(".attn1")]
                raise ValueError(f"attention supervision: expected layers among {names}, got {layer!r}")
            self._attentions[layer] = known[layer]
            for name in ("to_q", "to_k"):
                known[f"{layer}.{name}"].register_forward_hook(self._keeper(layer, name))

    def weight(self, step: int) -> float:
        """Weight of the loss at an optimizer step."""
        return self.weights[max(start for start in self.weights if start <= step)]

    def loss(self, labels: Tensor, mask: Tensor, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the last forward pass's attention lacks, and what it has.

        Args:
            labels: ``(B, h, w)`` uint8, palette index of each latent, 255 outside of pages.
            mask: ``(B, 1, h, w)`` in [0, 1], 0 on the query.
            chosen: ``(B,)`` bool, samples that count; None: all.

        Returns:
            Mean of -log(mass) over query tokens and layers, mass being the attention that a token gives to reference
            tokens of its own label; and the mean mass of the first layer, without gradient.

        Raises:
            RuntimeError: If no layer has run since: compiled blocks skip hooks in silence.
        """
        if not self._kept:
            raise RuntimeError("attention supervision: nothing was kept; do not compile supervised blocks")
        losses = []
        for layer in self.layers:
            queries, keys = (self._kept.get((layer, name)) for name in ("to_q", "to_k"))
            if queries is None or keys is None or queries.shape[1] > self.max_tokens:
                continue
            head = queries.shape[-1] // self._attentions[layer].heads
            pair = (queries[..., :head].float(), keys[..., :head].float())
            grid = token_grid(queries.shape[1], (labels.shape[-2], labels.shape[-1]))
            losses.append(attention_loss(*pair, *on_grid(labels, mask, grid), chosen))
        self._kept.clear()
        if not losses:
            return labels.new_zeros((), dtype=torch.float32), labels.new_zeros((), dtype=torch.float32)
        return torch.stack(losses).mean(), (-losses[0].detach()).exp()

    def _keeper(self, layer: str, name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if output.requires_grad:
                self._kept[layer, name] = output

        return keep


def on_grid(labels: Tensor, mask: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Labels at the tokens' middles ``(B, N)`` and whether tokens lie in the query alone ``(B, N)`` bool."""
    stride = labels.shape[-2] // grid[0]
    tokens = labels[:, stride // 2 :: stride, stride // 2 :: stride].flatten(1)
    return tokens, adaptive_max_pool2d(mask.float(), grid).flatten(1) < 0.5


def attention_loss(
    queries: Tensor, keys: Tensor, labels: Tensor, is_query: Tensor, chosen: Tensor | None = None
) -> Tensor:
    """-log of the attention that query tokens give to reference tokens of their label, mean over those that have any.

    Args:
        queries: ``(B, N, d)`` of one head, before scaling.
        keys: ``(B, N, d)``.
        labels: ``(B, N)`` uint8.
        is_query: ``(B, N)`` bool.
        chosen: ``(B,)`` bool, samples that count; None: all.

    Returns:
        Scalar; 0 where no token counts.
    """
    scores = (queries @ keys.mT / queries.shape[-1] ** 0.5).log_softmax(dim=-1)
    references = ~is_query & (labels != OUTSIDE)
    positive = (labels[:, :, None] == labels[:, None, :]) & references[:, None, :]
    counts = is_query & positive.any(-1) & (labels >= FIRST_COLOR)
    if chosen is not None:
        counts = counts & chosen[:, None]
    mass = torch.logsumexp(scores.masked_fill(~positive, -1e4), dim=-1)
    return -(mass * counts).sum() / counts.sum().clamp(min=1)
