"""Styles made of styles: the paper's random interpolation of two, and a random choice among several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image

from colorflow.schema import Style, bind
from colorflow.styles.describe import Described


def blend(first: Image.Image, second: Image.Image, weight: float) -> Image.Image:
    """Interpolate two pages linearly, ``(1 - weight) first + weight second``, in 8 bits, cut off below the point.

    The released code blends so, with a weight of 0.5 (fixture ``f_input_styles``).

    Returns:
        An RGB image with three equal channels.
    """
    return Image.blend(first.convert("L"), second.convert("L"), weight).convert("RGB")


@dataclass(frozen=True)
class Interpolated(Described):
    """A linear interpolation of two styles, its weight drawn for each page.

    The paper's screenstyle augmentation (section 3.2) is this with ``GrayStyle`` and the ScreenVAE rendition; its
    released inference is the same with a weight of 0.5.

    Attributes:
        first: Style at weight 0.
        second: Style at weight 1.
        weight: Lowest and highest share of the second; drawn uniformly. The paper says "random": (0, 1) is our reading.
        name: Name in records; empty takes the second's.
    """

    first: Style
    second: Style
    weight: tuple[float, float] = (0.0, 1.0)
    name: str = ""

    def __post_init__(self) -> None:
        """Check the range; lists, as configs hold them, become tuples.

        Raises:
            ValueError: For anything but 0 <= lowest <= highest <= 1.
        """
        object.__setattr__(self, "weight", tuple(float(value) for value in self.weight))
        object.__setattr__(self, "name", self.name or self.second.name)
        if len(self.weight) != 2 or not 0 <= self.weight[0] <= self.weight[1] <= 1:
            raise ValueError(
                f"Interpolated: expected a weight [lowest, highest] within [0, 1], got {list(self.weight)}"
            )

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the interpolation; the weight is drawn first, then what the two styles draw."""
        low, high = self.weight
        weight = low + (high - low) * float(torch.rand((), generator=generator))
        return blend(self.first(page, generator), self.second(page, generator), weight)

    def bind(self, renditions: Mapping[str, Image.Image]) -> Interpolated:
        """Return this with the renditions of one sample."""
        return replace(self, first=bind(self.first, renditions), second=bind(self.second, renditions))


@dataclass(frozen=True)
class Mixed(Described):
    """One of several styles, drawn for each page.

    Attributes:
        styles: The styles.
        shares: How often each is drawn, in any unit; None for equally often.
        name: Name in records.
    """

    styles: tuple[Style, ...]
    shares: tuple[float, ...] | None = None
    name: str = "mixed"

    def __post_init__(self) -> None:
        """Check the shares; lists, as configs hold them, become tuples.

        Raises:
            ValueError: For no styles, or shares that are not one positive number a style.
        """
        object.__setattr__(self, "styles", tuple(self.styles))
        shares: Sequence[float] = self.shares if self.shares is not None else [1.0] * len(self.styles)
        object.__setattr__(self, "shares", tuple(float(share) for share in shares))
        if not self.styles or len(shares) != len(self.styles) or not all(0 < share < math.inf for share in shares):
            raise ValueError(
                f"Mixed: expected a positive share for each of at least one style, got {list(shares)} for "
                f"{[style.name for style in self.styles]}"
            )

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Draw a style and return its page."""
        shares = torch.tensor(self.shares, dtype=torch.float64)
        return self.styles[int(torch.multinomial(shares, 1, generator=generator))](page, generator)

    def bind(self, renditions: Mapping[str, Image.Image]) -> Mixed:
        """Return this with the renditions of one sample."""
        return replace(self, styles=tuple(bind(style, renditions) for style in self.styles))
