"""PSNR of the a and b channels of CIE Lab: colour alone, whatever the structure."""

from __future__ import annotations

from colorflow.metrics.catalog.psnr import decibels
from colorflow.metrics.pages import PagePair
from colorflow.metrics.spec import MetricSpec

CHROMA_PEAK = 255.0
"""The span of 8-bit a and b, -128 to 127 (our choice; Lab has no peak of its own)."""


def _chroma_psnr(pair: PagePair) -> float:
    pred, target = pair.labs
    return decibels(pred[1:], target[1:], CHROMA_PEAK)


SPEC = MetricSpec(
    key="chroma_psnr",
    label="chroma PSNR",
    decimals=2,
    higher_is_better=True,
    definition="PSNR of CIE Lab a and b (D65), peak 255, dB; mean over pages",
    sees="pair",
    function=_chroma_psnr,
)
