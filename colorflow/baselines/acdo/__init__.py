"""AnimeColorDeOldify: a U-Net on ResNet-34 that colours a square rendition of a page, ported from facts about it."""

from colorflow.baselines.acdo.method import Acdo, AcdoSettings, rows

__all__ = ["Acdo", "AcdoSettings", "rows"]
