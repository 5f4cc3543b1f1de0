"""Distances between two sets of features: Frechet (FID) and polynomial kernel (KID), in float64.

Sets and not pairs: n pages give one number, whatever their order. Heusel et al. 2017 (arXiv 1706.08500)
and Binkowski et al. 2018 (arXiv 1801.01401).
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(preds: Tensor, target: Tensor) -> Tensor:
    """Frechet distance of the normal distributions with the means and covariances of two sets.

    The trace of the square root of the covariances' product is the sum of the singular values of the
    product of the two centred sets. That needs no square root of a 2,048 x 2,048 matrix, which is singular
    where there are fewer pages than dimensions: scipy's ``sqrtm`` is off by 0.3 there, and this is exact.

    Args:
        preds: ``(N, D)`` features, N at least 2; any real dtype.
        target: ``(M, D)`` features, M at least 2.

    Returns:
        Float64 scalar of at least 0, which it is for equal sets up to rounding.

    Raises:
        ValueError: For other shapes, fewer than two rows, or values that are not finite.
    """
    first, second = _check(preds, target, "frechet_distance")
    means = first.mean(0), second.mean(0)
    factors = [_factor(features - mean) for features, mean in zip((first, second), means, strict=True)]
    traces = sum(float(factor.square().sum()) for factor in factors)
    cross = torch.linalg.svdvals(factors[0] @ factors[1].T).sum()
    distance = (means[0] - means[1]).square().sum() + traces - 2 * cross
    return distance.clamp_min(0)  # rounding can leave -1e-13


def kernel_distance(preds: Tensor, target: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy under the kernel ``(x . y / D + 1) ^ 3``, over whole sets.

    One block of all pages where other code averages random subsets: the same expectation, no seed.

    Args:
        preds: ``(N, D)`` features, N at least 2; any real dtype.
        target: ``(M, D)`` features, M at least 2.

    Returns:
        Float64 scalar. Being unbiased it is negative about as often as positive for equal distributions.

    Raises:
        ValueError: As for ``frechet_distance``.
    """
    first, second = _check(preds, target, "kernel_distance")
    within = [_mean_without_diagonal(_kernel(features, features)) for features in (first, second)]
    return within[0] + within[1] - 2 * _kernel(first, second).mean()


def _factor(centred: Tensor) -> Tensor:
    """A matrix F of at most D rows with F^T F the covariance (N - 1 in the denominator)."""
    scaled = centred / (len(centred) - 1) ** 0.5
    return scaled if len(scaled) <= scaled.shape[1] else torch.linalg.qr(scaled, mode="r").R


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _mean_without_diagonal(kernel: Tensor) -> Tensor:
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))


def _check(preds: Tensor, target: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    shapes = tuple(preds.shape), tuple(target.shape)
    if any(len(shape) != 2 or shape[0] < 2 or shape[1] < 1 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"{metric}: expected (N, D) and (M, D) features of at least two pages each, got {shapes[0]} and {shapes[1]}"
        )
    both = tuple(features.detach().to("cpu", torch.float64) for features in (preds, target))
    if not all(bool(features.isfinite().all()) for features in both):
        raise ValueError(f"{metric}: expected finite features, got NaN or infinity; are the extractor's weights whole?")
    return both[0], both[1]
