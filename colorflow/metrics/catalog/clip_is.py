"""CLIP image similarity: cosine of the image embeddings of prediction and truth."""

from __future__ import annotations

import torch
from torch import Tensor

from colorflow.metrics.clip import clip_pixels, clip_tower
from colorflow.metrics.networks import PageNetwork
from colorflow.metrics.spec import MetricSettings, MetricSpec
from colorflow.utils.tensors import digest_weights


def clip(settings: MetricSettings) -> PageNetwork:
    """The image tower of an open_clip model in float32; it answers with its projection output, not normalized.

    Args:
        settings: ``clip_model``, ``clip_pretrained``, ``clip_resize`` and where.

    Raises:
        MissingWeightsError, WrongWeightsError: Where weights cannot be had, or are others.
        ValueError: For an unknown model or resize rule.
    """
    model, pretrained, resize = settings.clip_model, settings.clip_pretrained, settings.clip_resize
    if resize not in ("squash", "centre_crop"):
        raise ValueError(f"clip_resize: expected squash or centre_crop, got {resize!r}")
    tower = clip_tower(model, pretrained, settings.folder)
    prepare = clip_pixels(tower, "squash" if resize == "squash" else "shortest")
    name = f"open_clip-{model}-{pretrained}-{resize}"
    return PageNetwork("clip", name, prepare, tower, digest_weights(tower), settings.place, settings.batch_size)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of each pair of rows.

    Args:
        first: ``(B, D)``, any real dtype, not normalized.
        second: The same.

    Returns:
        ``(B,)`` float64 in [-1, 1].

    Raises:
        ValueError: For rows without length or direction: zeros, NaN or infinity.
    """
    both = torch.stack((first, second)).double()
    norms = both.norm(dim=-1, keepdim=True)
    if not bool(((norms > 0) & norms.isfinite()).all()):
        raise ValueError("cosine: expected finite embeddings other than zero; are the network's weights whole?")
    unit = both / norms
    return (unit[0] * unit[1]).sum(-1).clamp(-1, 1)


SPEC = MetricSpec(
    key="clip_is",
    label="CLIP-IS",
    decimals=4,
    higher_is_better=True,
    place=1,
    definition="cosine of the CLIP image embeddings (projection output) of prediction and truth; mean over pages",
    sees="pair",
    function=cosine,
    network=clip,
)
