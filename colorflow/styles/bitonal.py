"""The bitonal style: a page as a black-and-white scanner leaves it, without grays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from skimage.filters import threshold_otsu

from colorflow.styles.describe import Described


@dataclass(frozen=True)
class BitonalStyle(Described):
    """Ink where the luminance is at most Otsu's threshold of the page (Otsu 1979), paper elsewhere."""

    name: ClassVar[str] = "bitonal"

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the page in black and white.

        Args:
            page: Color page, any mode that converts to ``L``.
            generator: Not drawn from: this style has nothing random.

        Returns:
            An RGB image of the page's size with R = G = B, 0 or 255; a page of one gray is all paper.
        """
        gray = np.asarray(page.convert("L"))
        ink = (gray <= threshold_otsu(gray)) & (gray < gray.max())
        return Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert("RGB")
