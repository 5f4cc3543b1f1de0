"""What printing and scanning do to a page: uneven ink, rescaling with its moire, blur, gray paper, JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Scan:
    """Degradations of a scan, each drawn for itself; a page is left clean with probability ``1 - share``.

    Attributes:
        share: Share of pages that are degraded.
        rescale: Smallest factor of a resize and back; the largest is 1.
        blur: Largest standard deviation of the blur, pixels.
        paper: Darkest paper, as a level in [0, 1].
        ink: Lightest ink, as a level in [0, 1].
        uneven: Largest relative unevenness of the ink over the page.
        jpeg: Lowest and highest JPEG quality.
    """

    share: float = 0.5
    rescale: float = 0.5
    blur: float = 0.7
    paper: float = 0.92
    ink: float = 0.12
    uneven: float = 0.15
    jpeg: tuple[int, int] = (60, 95)

    def __call__(self, page: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the degraded ``L`` page, of the same size."""
        degraded, *chosen = rng.random(6).tolist()
        amounts, spots = rng.random(5).tolist(), rng.random((5, 4))
        quality, kind = int(rng.integers(self.jpeg[0], self.jpeg[1] + 1)), int(rng.integers(len(_FILTERS)))
        if degraded >= self.share:
            return page
        steps = [share < 0.5 for share in chosen]
        if steps[0]:
            factor = self.rescale + (1 - self.rescale) * amounts[0]
            small = (max(1, round(page.width * factor)), max(1, round(page.height * factor)))
            page = page.resize(small, _FILTERS[kind]).resize(page.size, Image.Resampling.BICUBIC)
        if steps[1]:
            page = page.filter(ImageFilter.GaussianBlur(self.blur * amounts[1]))
        if steps[2]:
            page = _with_uneven_ink(page, 1 - self.uneven * amounts[2] * spots)
        if steps[3]:
            dark, light = 255 * self.ink * amounts[3], 255 * (1 - (1 - self.paper) * amounts[4])
            page = page.point([round(dark + (light - dark) * level / 255) for level in range(256)])
        return _through_jpeg(page, quality) if steps[4] else page


def _with_uneven_ink(page: Image.Image, strength: np.ndarray) -> Image.Image:
    """Multiply the ink by a smooth field, given as a few values over the page."""
    field = Image.fromarray((strength * 255).astype(np.uint8)).resize(page.size, Image.Resampling.BICUBIC)
    ink = (255 - np.asarray(page)).astype(np.uint16) * np.asarray(field) // 255
    return Image.fromarray((255 - ink).astype(np.uint8))


def _through_jpeg(page: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("L")
