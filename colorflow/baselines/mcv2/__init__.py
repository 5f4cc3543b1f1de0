"""Manga Colorization v2: a generator of colours from gray pages after a denoiser, ported from facts about both."""

from colorflow.baselines.mcv2.method import McV2, McV2Settings, rows

__all__ = ["McV2", "McV2Settings", "rows"]
