"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from colorflow.metrics.color import FloatArray
from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import MetricSpec


def decibels(first: FloatArray, second: FloatArray, peak: float) -> float:
    """PSNR of two arrays of one shape, dB; ``inf`` for equal ones."""
    mean_squared_error = float(np.mean((first - second) ** 2))
    return float("inf") if mean_squared_error == 0 else float(10 * np.log10(peak**2 / mean_squared_error))


def _psnr(pair: PagePair) -> float:
    return decibels(pair.pred, pair.target, 1.0)


SPEC = MetricSpec(
    key="psnr",
    label="PSNR",
    decimals=2,
    higher_is_better=True,
    place=4,
    definition="RGB / 255, MSE over all pixels and channels of a page, dB; mean over pages; inf for identical pages",
    sees="pair",
    function=_psnr,
)
