"""Pages that would not teach: those without colour, and those that their chapter already has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from colorflow.data.chapters import Skip
from colorflow.schema import Page
from colorflow.utils.color import is_colored

_SIDE = 32


@dataclass(frozen=True)
class PageFilter:
    """Rules for leaving pages of a chapter out; by default nothing is left out.

    Attributes:
        colorless: Leave out pages that `is_colored` finds black and white, tinted scans included: a colour page that
            has no colour cannot teach colour.
        near_duplicates: Leave out a page that differs from an earlier, kept one of its chapter by at most so many of
            255 levels, as root mean square over RGB thumbnails of 32 x 32: in the pool of the other it would give
            the answer away. None keeps all.
    """

    colorless: bool = False
    near_duplicates: float | None = None

    def __post_init__(self) -> None:
        """Check the distance.

        Raises:
            ValueError: For a negative one.
        """
        if self.near_duplicates is not None and self.near_duplicates < 0:
            raise ValueError(
                f"near_duplicates: expected at least 0 levels, or null to keep all, got {self.near_duplicates}"
            )

    def __call__(
        self, pages: Sequence[Page], images: Sequence[Image.Image], skips: Sequence[Skip]
    ) -> tuple[list[Page], list[Image.Image], list[Skip]]:
        """Return the pages of a chapter that are kept, their pictures, and the skips with those left out added.

        Args:
            pages: Pages in natural order.
            images: Their pictures, RGB.
            skips: What is left out already.
        """
        if self == KEEP_ALL:
            return list(pages), list(images), list(skips)
        kept: list[tuple[Page, Image.Image]] = []
        thumbnails: list[np.ndarray] = []
        more: list[Skip] = []
        for page, image in zip(pages, images, strict=True):
            if self.colorless and not is_colored(image):
                more.append(Skip(str(page.path), "no colour", "black and white, or of one tint"))
                continue
            thumbnail = _thumbnail(image)
            place, distance = _nearest(thumbnail, thumbnails)
            if self.near_duplicates is not None and distance <= self.near_duplicates:
                reason = f"like {kept[place][0].path.name}: {distance:.1f} of 255 levels apart"
                more.append(Skip(str(page.path), "near duplicate", reason))
                continue
            kept.append((page, image))
            thumbnails.append(thumbnail)
        return [page for page, _ in kept], [image for _, image in kept], [*skips, *more]


KEEP_ALL = PageFilter()


def _thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32).ravel()


def _nearest(thumbnail: np.ndarray, others: Sequence[np.ndarray]) -> tuple[int, float]:
    """Place of the most similar other and its root mean square difference; infinity where there is none."""
    if not others:
        return -1, float("inf")
    distances = np.sqrt(np.square(np.stack(others) - thumbnail).mean(1))
    place = int(distances.argmin())
    return place, float(distances[place])
