"""Renditions made beforehand, which shards hold: for styles that are too slow to be made while training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from PIL import Image

from colorflow.styles.describe import Described


@dataclass(frozen=True)
class RecordedStyle(Described):
    """The rendition of a name that comes with the sample.

    Attributes:
        name: Name of the style that the shards were built with.
    """

    name: str
    _renditions: Mapping[str, Image.Image] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the rendition; nothing is drawn.

        Raises:
            ValueError: For a sample without it, or one of another size.
        """
        if self.name not in self._renditions:
            raise ValueError(
                f"style: expected samples with a rendition {self.name!r}, got {sorted(self._renditions)}; build shards "
                f"by data/build_shards.py style={self.name} and train with data=shards, or set style={self.name}"
            )
        rendition = self._renditions[self.name]
        if rendition.size != page.size:
            raise ValueError(f"style: expected a rendition of the page's size {page.size}, got {rendition.size}")
        return rendition.convert("L").convert("RGB")

    def bind(self, renditions: Mapping[str, Image.Image]) -> RecordedStyle:
        """Return this with the renditions of one sample."""
        return replace(self, _renditions=renditions)
