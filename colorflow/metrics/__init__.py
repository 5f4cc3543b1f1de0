"""Metrics of coloured pages: functions that give one value a page, and torchmetrics classes over them."""

from colorflow.metrics.classes import CIEDE2000, PSNR, SSIM, ChromaPSNR, PageMetric
from colorflow.metrics.functional import (
    CHROMA_PEAK,
    SSIM_WINDOWS,
    SsimWindow,
    chroma_psnr,
    ciede2000,
    page_metrics,
    psnr,
    ssim,
)

HIGHER_IS_BETTER = {"psnr": True, "ssim": True, "chroma_psnr": True, "ciede2000": False}
"""The page metrics in table order, and which way they point."""

__all__ = [
    "CHROMA_PEAK",
    "CIEDE2000",
    "HIGHER_IS_BETTER",
    "PSNR",
    "SSIM",
    "SSIM_WINDOWS",
    "ChromaPSNR",
    "PageMetric",
    "SsimWindow",
    "chroma_psnr",
    "ciede2000",
    "page_metrics",
    "psnr",
    "ssim",
]
