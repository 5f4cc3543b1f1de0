"""Metrics of coloured pages, each a function and a torchmetrics class; docs/metrics.md defines them.

Page metrics give one value a page, set metrics one for all pages, the sequence metric one a chapter.
"""

from colorflow.metrics.classes import CIEDE2000, PSNR, SSIM, ChromaPSNR, PageMetric
from colorflow.metrics.distances import frechet_distance, kernel_distance
from colorflow.metrics.extractors import (
    ClipResize,
    FidResize,
    aesthetic_predictor,
    clip,
    inception,
    lpips_network,
)
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
from colorflow.metrics.identity import Consistency, color_identity, consistency, page_regions
from colorflow.metrics.network_classes import FID, KID, LPIPS, AestheticScore, ClipIS, ColorIdentity
from colorflow.metrics.networks import PageNetwork, random_network
from colorflow.metrics.perceptual import aesthetic, clip_is, cosine, fid, kid, lpips
from colorflow.metrics.weights import MissingWeightsError, WrongWeightsError

HIGHER_IS_BETTER = {
    "psnr": True,
    "ssim": True,
    "chroma_psnr": True,
    "ciede2000": False,
    "lpips": False,
    "clip_is": True,
    "fid": False,
    "kid": False,
    "aesthetic": True,
    "color_identity": True,
}
"""Every metric key, and which way it points."""

PIXEL_METRICS = ("psnr", "ssim", "chroma_psnr", "ciede2000")
"""Page metrics of the pixels alone, as ``page_metrics`` gives them."""

PAGE_METRICS = (*PIXEL_METRICS, "lpips", "clip_is", "aesthetic")
"""Those with a value a page."""

__all__ = [
    "CHROMA_PEAK",
    "CIEDE2000",
    "FID",
    "HIGHER_IS_BETTER",
    "KID",
    "LPIPS",
    "PAGE_METRICS",
    "PIXEL_METRICS",
    "PSNR",
    "SSIM",
    "SSIM_WINDOWS",
    "AestheticScore",
    "ChromaPSNR",
    "ClipIS",
    "ClipResize",
    "ColorIdentity",
    "Consistency",
    "FidResize",
    "MissingWeightsError",
    "PageMetric",
    "PageNetwork",
    "SsimWindow",
    "WrongWeightsError",
    "aesthetic",
    "aesthetic_predictor",
    "chroma_psnr",
    "ciede2000",
    "clip",
    "clip_is",
    "color_identity",
    "consistency",
    "cosine",
    "fid",
    "frechet_distance",
    "inception",
    "kernel_distance",
    "kid",
    "lpips",
    "lpips_network",
    "page_metrics",
    "page_regions",
    "psnr",
    "random_network",
    "ssim",
]
