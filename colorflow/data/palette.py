"""Other colours for a sample, the same for a page and its references: then only the references tell the colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R 601, as gray pages are made by Pillow."""

# Two colour axes of luma 0, orthonormal in RGB: a turn in their plane keeps the luma.
_BLUE = np.array([-LUMA[0], -LUMA[1], (LUMA[0] ** 2 + LUMA[1] ** 2) / LUMA[2]], dtype=np.float32)
_RED = np.cross(LUMA, _BLUE).astype(np.float32)
_AXES = np.stack([_BLUE / np.linalg.norm(_BLUE), _RED / np.linalg.norm(_RED)])


@dataclass(frozen=True)
class PaletteShift:
    """Turns, mirrors and scales the chroma of a picture as a whole; its luma, and so its gray page, stay.

    One colour becomes one other colour everywhere, so that what is alike stays alike on the page and its references,
    while no colour can be known from what a thing is. Not in the paper (docs/deviations.md).

    Attributes:
        probability: Share of samples that are changed.
        saturation: Smallest and largest factor on the chroma; colours that would leave the RGB cube are
            desaturated to its surface at their own luma.
    """

    probability: float = 1.0
    saturation: tuple[float, float] = (0.8, 1.25)

    def __post_init__(self) -> None:
        """Check both; lists, as configs hold them, become tuples."""
        object.__setattr__(self, "saturation", tuple(self.saturation))
        if not 0 <= self.probability <= 1:
            raise ValueError(f"PaletteShift: expected a probability in [0, 1], got {self.probability}")
        if len(self.saturation) != 2 or not 0 <= self.saturation[0] <= self.saturation[1]:
            raise ValueError(f"PaletteShift: expected saturation as (least, most), 0 or more, got {self.saturation}")

    def __call__(self, picture: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the picture with the colours that the generator draws.

        Args:
            picture: RGB: a canvas with all that is to change alike.
            generator: Of the sample; four numbers are drawn from it, whatever comes out.
        """
        used, turn, mirror, factor = torch.rand(4, generator=generator).tolist()
        if used >= self.probability:
            return picture
        least, most = self.saturation
        return recolor(picture, 2 * math.pi * turn, mirror < 0.5, least + (most - least) * factor)


def recolor(picture: Image.Image, angle: float, mirrored: bool, factor: float) -> Image.Image:
    """Turn the chroma of an RGB picture by an angle (radians), mirrored first if asked, and scale it by a factor."""
    levels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    luma = levels @ LUMA[:, None]
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]], dtype=np.float32) @ np.diag([1, -1 if mirrored else 1])
    chroma = (levels - luma) @ (factor * _AXES.T @ turn.T @ _AXES).astype(np.float32)
    room = np.where(chroma > 0, 255 - luma, luma) / np.maximum(np.abs(chroma), 1e-6)
    chroma *= np.minimum(room.min(axis=-1, keepdims=True), 1)
    return Image.fromarray(np.rint(luma + chroma).clip(0, 255).astype(np.uint8))
