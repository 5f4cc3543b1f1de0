"""The gray style: the luminance of the colour page, the paper's "grayscale image" input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from PIL import Image

from colorflow.styles.describe import Described


@dataclass(frozen=True)
class GrayStyle(Described):
    """ITU-R 601 luminance, as Pillow's ``L`` mode computes it, in three equal channels."""

    name: ClassVar[str] = "gray"

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the gray page.

        Args:
            page: Colour page, any mode that converts to ``L``.
            generator: Not drawn from: this style has nothing random.

        Returns:
            An RGB image of the page's size with R = G = B.
        """
        return page.convert("L").convert("RGB")
