"""One tint for the whole page, without weights: the mean chroma of the references at the page's own luminance.

What is known from the references' colours alone, before anything is known of where they belong.
"""

from __future__ import annotations

from statistics import fmean

from PIL import Image, ImageStat

from colorflow.baselines.nearest import check_pool
from colorflow.methods import MethodSpec, References, Rows, row_label
from colorflow.schema import ReferencePool


class MeanTint:
    """Mean tint of the references.

    Args:
        name: Row name.
    """

    def __init__(self, name: str = "mean_tint") -> None:
        self.name = name

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Return the page with the mean Cb and Cr (ITU-R 601) of the references, each of equal weight; no seed is used.

        Raises:
            NoReferenceError: For an empty pool.
        """
        check_pool(self.name, references)
        means = [ImageStat.Stat(reference.convert("YCbCr")).mean[1:] for reference in references.pages]
        tint = [Image.new("L", page.size, round(fmean(values))) for values in zip(*means, strict=True)]
        return Image.merge("YCbCr", [page.convert("L"), *tint]).convert("RGB")


def rows(references: References = "own", name: str = "mean_tint") -> Rows:
    """The row of `MeanTint`."""
    label = row_label(name, "mean_tint", "Mean tint of the references")
    return {name: MethodSpec(lambda: MeanTint(name), references, label=label)}
