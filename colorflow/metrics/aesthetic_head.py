"""LAION's improved aesthetic predictor: a CLIP tower and a head of linear layers without activations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from colorflow.metrics.weights import AESTHETIC_HEAD, WrongWeightsError, find_weights, load_state

WIDTHS = (768, 1024, 128, 64, 16, 1)

_PLACES = (0, 2, 4, 6, 7)
"""Numbers of the linear layers in the published file; dropout took the numbers between them."""


class AestheticHead(nn.Module):
    """Linear layers 768-1024-128-64-16-1, named as in the published file: one affine map in five factors."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Identity() for _ in range(_PLACES[-1] + 1)))
        for place, (width, following) in zip(_PLACES, pairwise(WIDTHS), strict=True):
            self.layers[place] = nn.Linear(width, following)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Score ``(B, 768)`` embeddings of unit length: ``(B, 1)``, mostly in [1, 10]."""
        scores: Tensor = self.layers(embeddings)
        return scores


class AestheticScorer(nn.Module):
    """Tower and head: normalized embedding, then score.

    Args:
        tower: OpenAI's ViT-L/14 image tower, ``(B, 3, 224, 224)`` to ``(B, 768)``.
        head: The head.
    """

    def __init__(self, tower: nn.Module, head: AestheticHead) -> None:
        super().__init__()
        self.tower = tower
        self.head = head

    def forward(self, pixels: Tensor) -> Tensor:
        """Return ``(B, 1)``."""
        scores: Tensor = self.head(normalize(self.tower(pixels), dim=-1))
        return scores


def load_head(weights: Path | None = None, *, random: bool = False) -> AestheticHead:
    """Load the published head.

    Args:
        weights: Folder to look for it in.
        random: Random weights; nothing is loaded.

    Raises:
        MissingWeightsError: Where it cannot be had.
        WrongWeightsError: For a file that is another, or has other layers.
    """
    head = AestheticHead()
    if random:
        generator = torch.Generator().manual_seed(0)
        for layer in head.layers:
            if isinstance(layer, nn.Linear):  # of unit gain, without biases: scores differ as embeddings do
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
                nn.init.zeros_(layer.bias)
        return head
    path = find_weights(AESTHETIC_HEAD, weights)
    return fill_head(head, load_state(path), str(path))


def fill_head(head: AestheticHead, state: dict[str, Tensor], source: str) -> AestheticHead:
    """Load a state of the published layout, all of it.

    Raises:
        WrongWeightsError: For other keys or shapes.
    """
    try:
        head.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WrongWeightsError(
            f"{source}: expected the layers {', '.join(map(str, _PLACES))} of {AESTHETIC_HEAD.name}, got another "
            f"layout ({' '.join(str(error).split())[:200]})"
        ) from error
    return head
