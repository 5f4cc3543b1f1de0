"""The page metrics on the torchmetrics contract: update with batches, compute the mean over pages.

Per-page values are the state (``values``, a list), gathered over ranks by concatenation: the
mean is over pages however they were batched or sharded.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from colorflow.metrics.functional import SSIM_WINDOWS, SsimWindow, chroma_psnr, ciede2000, psnr, ssim


class PageMetric(Metric):
    """Mean over pages of a per-page value; subclasses say which by ``score``.

    Args:
        **kwargs: torchmetrics' own (``sync_on_compute``, ``dist_sync_fn``, ...).
    """

    is_differentiable = False
    full_state_update = False
    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``(B,)`` float64 for two ``(B, 3, H, W)`` batches in [0, 1]."""
        raise NotImplementedError

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of pages.

        Args:
            preds: ``(B, 3, H, W)`` float in [0, 1], RGB.
            target: The same.

        Raises:
            TypeError: For integer tensors.
            ValueError: For shapes that differ or are wrong, and values outside [0, 1].
        """
        self.values.append(self.score(preds, target).to(self.device))

    def compute(self) -> Tensor:
        """Return the mean over pages, a float64 scalar; ``inf`` where any page is ``inf``.

        Raises:
            ValueError: Where no page was added.
        """
        if isinstance(self.values, list) and not self.values:
            raise ValueError(f"{type(self).__name__}: expected at least one page, got none; call update first")
        return dim_zero_cat(self.values).mean()


class PSNR(PageMetric):
    """Mean over pages of ``colorflow.metrics.psnr``, dB. Identical pages count as ``inf``."""

    higher_is_better = True

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``psnr`` of each page."""
        return psnr(preds, target)


class SSIM(PageMetric):
    """Mean over pages of ``colorflow.metrics.ssim``.

    Args:
        window: As for the function.
        **kwargs: torchmetrics' own.
    """

    higher_is_better = True

    def __init__(self, window: SsimWindow = "uniform7", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if window not in SSIM_WINDOWS:
            raise ValueError(f"SSIM: expected a window of {', '.join(SSIM_WINDOWS)}, got {window!r}")
        self.window: SsimWindow = window

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``ssim`` of each page."""
        return ssim(preds, target, self.window)


class ChromaPSNR(PageMetric):
    """Mean over pages of ``colorflow.metrics.chroma_psnr``, dB. Identical chroma counts as ``inf``."""

    higher_is_better = True

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``chroma_psnr`` of each page."""
        return chroma_psnr(preds, target)


class CIEDE2000(PageMetric):
    """Mean over pages of ``colorflow.metrics.ciede2000``; lower is better."""

    higher_is_better = False

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return ``ciede2000`` of each page."""
        return ciede2000(preds, target)
