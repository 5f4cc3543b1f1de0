"""Aesthetic score by LAION's improved predictor: a CLIP tower and a head of linear layers without activations."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import normalize

from colorflow.metrics.clip import clip_pixels, clip_tower
from colorflow.metrics.networks import PageNetwork
from colorflow.metrics.spec import MetricSettings, MetricSpec
from colorflow.metrics.weights import AESTHETIC_HEAD, WrongWeightsError, find_weights, load_state
from colorflow.utils.tensors import digest_weights

AESTHETIC_CLIP = ("ViT-L-14-quickgelu", "openai")

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
        return self.layers(embeddings)


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
        return self.head(normalize(self.tower(pixels), dim=-1))


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


def aesthetic_predictor(settings: MetricSettings) -> PageNetwork:
    """OpenAI's ViT-L/14, CLIP's own resize and crop, and the head; answers ``(B, 1)``.

    Raises:
        MissingWeightsError, WrongWeightsError: Where weights cannot be had, or are others.
    """
    path = find_weights(AESTHETIC_HEAD, settings.folder)
    head = fill_head(AestheticHead(), load_state(path), str(path))
    tower = clip_tower(*AESTHETIC_CLIP, settings.folder)
    scorer, prepare = AestheticScorer(tower, head), clip_pixels(tower, "shortest")
    name = "aesthetic-sac+logos+ava1-l14-linearMSE"
    return PageNetwork("aesthetic", name, prepare, scorer, digest_weights(scorer), settings.place, settings.batch_size)


def _only(scores: Tensor) -> Tensor:
    return scores[:, 0].double()


SPEC = MetricSpec(
    key="aesthetic",
    label="AS",
    decimals=3,
    higher_is_better=True,
    place=6,
    definition="LAION sac+logos+ava1-l14-linearMSE on OpenAI ViT-L/14, CLIP's own centre crop; mean over pages",
    sees="prediction",
    function=_only,
    network=aesthetic_predictor,
)
