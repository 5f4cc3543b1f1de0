"""EBMC (Example-Based Manga Colorization, cGAN): one colour reference, one page, in CIE Lab.

Written from facts about shapes, keys and numbers; nothing of the Apache-2.0 original is copied.
"""

from colorflow.baselines.ebmc.colorizer import EbmcColorizer, EbmcNetworks, load_ebmc, rows

__all__ = ["EbmcColorizer", "EbmcNetworks", "load_ebmc", "rows"]
