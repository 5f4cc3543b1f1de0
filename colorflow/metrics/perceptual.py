"""Metrics by a network as functions: CLIP-IS, AS and LPIPS page by page, FID and KID over sets of pages."""

from __future__ import annotations

import torch
from torch import Tensor

from colorflow.metrics.distances import frechet_distance, kernel_distance
from colorflow.metrics.networks import PageNetwork


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


def clip_is(preds: Tensor, target: Tensor, network: PageNetwork) -> Tensor:
    """CLIP image similarity: cosine of the image embeddings of prediction and truth.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
        target: The same.
        network: As ``clip`` makes it.

    Returns:
        ``(B,)`` float64 in [-1, 1]; 1 for identical pages.

    Raises:
        TypeError: For integer tensors.
        ValueError: For shapes that differ or are wrong, and values outside [0, 1].
    """
    _check_pair(preds, target, "clip_is")
    return cosine(network(preds), network(target))


def aesthetic(preds: Tensor, network: PageNetwork) -> Tensor:
    """Aesthetic score of each page; it looks at no truth.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
        network: As ``aesthetic_predictor`` makes it.

    Returns:
        ``(B,)`` float64, mostly in [1, 10].

    Raises:
        TypeError, ValueError: As for ``clip_is``.
    """
    return network(preds)[:, 0].double()


def lpips(preds: Tensor, target: Tensor, network: PageNetwork) -> Tensor:
    """Learned perceptual distance of each page from its truth; 0 for identical pages.

    Args:
        preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
        target: The same.
        network: As ``lpips_network`` makes it.

    Returns:
        ``(B,)`` float64, lower is better.

    Raises:
        TypeError, ValueError: As for ``clip_is``.
    """
    _check_pair(preds, target, "lpips")
    return network(preds, target)[:, 0].double()


def fid(preds: Tensor, target: Tensor, network: PageNetwork) -> Tensor:
    """Frechet inception distance of two sets of pages, float64 scalar; numbers of different N do not compare.

    Args:
        preds: ``(N, 3, H, W)`` float in [0, 1], RGB, at least two pages.
        target: ``(M, 3, H, W)``, likewise.
        network: As ``inception`` makes it.

    Raises:
        TypeError, ValueError: As for ``clip_is``, but the two may differ in shape.
    """
    return frechet_distance(network(preds), network(target))


def kid(preds: Tensor, target: Tensor, network: PageNetwork) -> Tensor:
    """Kernel inception distance of two sets of pages, float64 scalar, unbiased (may be negative).

    Args:
        preds: ``(N, 3, H, W)`` float in [0, 1], RGB, at least two pages.
        target: ``(M, 3, H, W)``, likewise.
        network: As ``inception`` makes it.

    Raises:
        TypeError, ValueError: As for ``fid``.
    """
    return kernel_distance(network(preds), network(target))


def _check_pair(preds: Tensor, target: Tensor, metric: str) -> None:
    if preds.shape != target.shape:
        raise ValueError(
            f"{metric}: expected preds and target of one shape, got {tuple(preds.shape)} and {tuple(target.shape)}; "
            "resize both to the metric size by the same rule first"
        )
