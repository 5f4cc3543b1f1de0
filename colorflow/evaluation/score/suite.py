"""Which metrics a table has, and the networks they need: loaded before any page is coloured, or left out loudly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from colorflow.metrics import (
    HIGHER_IS_BETTER,
    PIXEL_METRICS,
    ClipResize,
    FidResize,
    MissingWeightsError,
    PageNetwork,
    aesthetic_predictor,
    clip,
    inception,
    lpips_network,
    random_network,
)
from colorflow.utils.log import get_logger

Sees = Literal["pages", "predictions", "pairs"]
"""What a network looks at: predictions and truths one by one, predictions alone, or each pair together."""

FREE_METRICS = (*PIXEL_METRICS, "color_identity")
"""Metrics that need no network."""

logger = get_logger(__name__)

_PARTS: dict[str, tuple[Sees, tuple[str, ...]]] = {
    "lpips": ("pairs", ("lpips",)),
    "clip": ("pages", ("clip_is",)),
    "inception": ("pages", ("fid", "kid")),
    "aesthetic": ("predictions", ("aesthetic",)),
}


@dataclass(frozen=True)
class MetricSettings:
    """What is to be measured; docs/metrics.md has the definitions.

    Attributes:
        names: Metric keys; those of the pixels cost nothing extra.
        weights_dir: Folder to look for weights in before the caches of torch and Hugging Face.
        strict: Missing weights are an error; False leaves their metrics out, with a line that says how to get them.
        clip_model: open_clip's name of the model of CLIP-IS (the paper's supplement names ViT-H-14).
        clip_pretrained: Its tag.
        clip_resize: ``squash`` or ``centre_crop``.
        fid_resize: ``clean`` or ``legacy``.
        device: ``auto`` takes the GPU where there is one.
        batch_size: Pages a forward pass.
        random_weights: Tiny random networks in place of all of these, for tests; every output says so.
    """

    names: Sequence[str] = FREE_METRICS
    weights_dir: str | None = None
    strict: bool = False
    clip_model: str = "ViT-H-14"
    clip_pretrained: str = "laion2b_s32b_b79k"
    clip_resize: ClipResize = "squash"
    fid_resize: FidResize = "clean"
    device: str = "auto"
    batch_size: int = 8
    random_weights: bool = False

    def __post_init__(self) -> None:
        """Check the names."""
        unknown = [name for name in self.names if name not in HIGHER_IS_BETTER]
        if unknown or not self.names:
            raise ValueError(f"metrics.names: expected some of {', '.join(HIGHER_IS_BETTER)}, got {list(self.names)}")


@dataclass(frozen=True)
class Part:
    """A network of the suite.

    Attributes:
        network: The network.
        sees: What it looks at.
        metrics: The keys it is needed for.
    """

    network: PageNetwork
    sees: Sees
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """The metrics that can be had, with their networks.

    Attributes:
        names: Keys, in the order of ``HIGHER_IS_BETTER``.
        parts: Networks by name.
        skipped: Metric -> why it is left out.
    """

    names: tuple[str, ...] = FREE_METRICS
    parts: Mapping[str, Part] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def random(self) -> tuple[str, ...]:
        """Metrics whose numbers mean nothing, because their network is random."""
        found = {metric for part in self.parts.values() if part.network.random for metric in part.metrics}
        return tuple(name for name in self.names if name in found)

    def describe(self) -> dict[str, Any]:
        """As JSON, for the protocol: what was measured by which weights, what was left out, what is random."""
        networks = {
            metric: {"id": part.network.id, "weights_sha256": part.network.digest}
            for part in self.parts.values()
            for metric in part.metrics
        }
        return {
            "metrics": list(self.names),
            "networks": {name: networks[name] for name in self.names if name in networks},
            "skipped": dict(self.skipped),
            "random_weights": list(self.random),
        }


def build_suite(settings: MetricSettings) -> Suite:
    """Load what the settings ask for.

    Raises:
        MissingWeightsError: Where weights cannot be had and ``strict`` is set.
        WrongWeightsError: For weights that are not the published ones.
        ValueError: For an unknown model or resize rule.
    """
    builders = _builders(settings)
    parts: dict[str, Part] = {}
    skipped: dict[str, str] = {}
    for name, (sees, metrics) in _PARTS.items():
        asked = tuple(metric for metric in metrics if metric in settings.names)
        if not asked:
            continue
        try:
            parts[name] = Part(builders[name](), sees, asked)
        except MissingWeightsError as error:
            if settings.strict:
                raise MissingWeightsError(f"{', '.join(asked)}: {error}") from error
            logger.warning("%s left out: %s", ", ".join(asked), error)
            skipped |= dict.fromkeys(asked, str(error))
    names = tuple(name for name in HIGHER_IS_BETTER if name in settings.names and name not in skipped)
    return Suite(names, parts, skipped)


def _builders(settings: MetricSettings) -> dict[str, Callable[[], PageNetwork]]:
    size = settings.batch_size
    if settings.random_weights:
        return {name: _random(name, sees, size) for name, (sees, _) in _PARTS.items()}
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if settings.device == "auto" else settings.device
    folder = None if settings.weights_dir is None else Path(settings.weights_dir)
    return {
        "lpips": lambda: lpips_network(folder, device=device, batch_size=size),
        "clip": lambda: clip(
            settings.clip_model,
            settings.clip_pretrained,
            folder,
            resize=settings.clip_resize,
            device=device,
            batch_size=size,
        ),
        "inception": lambda: inception(folder, resize=settings.fid_resize, device=device, batch_size=size),
        "aesthetic": lambda: aesthetic_predictor(folder, device=device, batch_size=size),
    }


def _random(name: str, sees: Sees, batch_size: int) -> Callable[[], PageNetwork]:
    return lambda: random_network(1 if name == "aesthetic" else 32, pairs=sees == "pairs", batch_size=batch_size)
