"""What a toon chapter is asked for, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PARTS = ("hair", "skin", "top", "bottom", "prop")
"""Colour-carrying parts of a character, in the order of the label map."""

MAX_CAST = 6
MAX_PANELS = 4
MIN_SIDE = 48

Box = tuple[int, int, int, int]
Color = tuple[int, int, int]


@dataclass(frozen=True)
class ToonSpec:
    """Options of the generator; together with the seed they fix every pixel.

    Attributes:
        size: Page (width, height) in pixels, each at least 48.
        equal_luminance: Parts and scenery take their ITU-601 luma from a few levels drawn
            independently of the hue, so that a gray page says nothing about its colours. False
            lets the luma follow the hue, as in an ordinary comic.
        min_cast: Fewest characters in a chapter.
        max_cast: Most characters in a chapter, at most 6.
        bubbles: Draw speech bubbles and caption boxes.
        supersample: Pixels are drawn this many times finer in both directions, then averaged.
        own_luminance: With ``equal_luminance``: every colour of a chapter has a luma of its own, so that a
            reference tells the colour by the gray value alone. False: a few levels are shared, and only who
            and what it is tells.
        hue_span: Share of the hue wheel, in (0, 1], that the colours of a chapter lie in; where is random. A small
            share is a chapter of one mood, whose palette any reference tells.
        max_panels: Most panels on a page, 1 to 4; an inset counts.

    Raises:
        ValueError: An option is out of its range.
    """

    size: tuple[int, int] = (256, 400)
    equal_luminance: bool = True
    min_cast: int = 4
    max_cast: int = 6
    bubbles: bool = True
    supersample: int = 3
    own_luminance: bool = False
    max_panels: int = 4
    hue_span: float = 1.0

    def __post_init__(self) -> None:
        """Check every option."""
        sides = tuple(self.size)
        if len(sides) != 2 or any(isinstance(s, bool) or int(s) != s or s < MIN_SIDE for s in sides):
            raise ValueError(
                f"toon size: expected (width, height), each a whole number of at least {MIN_SIDE} pixels, "
                f"got {self.size}; set e.g. size=[256,400]"
            )
        object.__setattr__(self, "size", (int(sides[0]), int(sides[1])))
        if not 1 <= self.min_cast <= self.max_cast <= MAX_CAST:
            raise ValueError(
                f"toon cast: expected 1 <= min_cast <= max_cast <= {MAX_CAST}, "
                f"got min_cast={self.min_cast}, max_cast={self.max_cast}; change one of them"
            )
        if not 1 <= self.max_panels <= MAX_PANELS:
            raise ValueError(f"toon panels: expected max_panels from 1 to {MAX_PANELS}, got {self.max_panels}")
        if not 0 < self.hue_span <= 1:
            raise ValueError(f"toon hues: expected hue_span in (0, 1], got {self.hue_span}; 1 is the whole wheel")
        if self.own_luminance and not self.equal_luminance:
            raise ValueError(
                "toon luminance: expected own_luminance with equal_luminance=true, got false; "
                "a luma that follows the hue is not the part's own"
            )
        if not 1 <= self.supersample <= 8:
            raise ValueError(f"toon supersample: expected 1 to 8, got {self.supersample}; 3 is a good value")


@dataclass(frozen=True)
class ToonCharacter:
    """One character drawn in one panel.

    Attributes:
        id: Number of the character in the cast of its chapter.
        panel: Number of its panel on the page.
        box: (left, top, right, bottom) of what was drawn, clipped to the panel's box, page pixels.
        head: The same for the head without hair and hat.
    """

    id: int
    panel: int
    box: Box
    head: Box


@dataclass(frozen=True)
class ToonPage:
    """A drawn page with its ground truth.

    Attributes:
        color: RGB page.
        lines: L image of the same size, black lines on white.
        labels: (H, W) uint8; 0 elsewhere, ``1 + character * len(PARTS) + part`` on a part's colour.
        panels: Boxes of the panels in reading order, an inset last.
        characters: Every character in every panel.
        colors: ``colors[character][part]``, the RGB colour of a part all through the chapter.
        index: Number of the page in its chapter, from 0.
        indices: The page as it was drawn: palette indices, ``supersample`` times finer, with the chapter's palette.
    """

    color: Image.Image
    lines: Image.Image
    labels: NDArray[np.uint8]
    panels: tuple[Box, ...]
    characters: tuple[ToonCharacter, ...]
    colors: tuple[tuple[Color, ...], ...]
    index: int
    indices: Image.Image

    @property
    def parts(self) -> Image.Image:
        """The labels as a picture with a palette: the color of each part of each character of the cast."""
        picture = Image.fromarray(self.labels).convert("P")
        picture.putpalette([0, 0, 0, *(channel for row in self.colors for color in row for channel in color)])
        return picture
