"""ACDO as a method: a square rendition, the network, the page's size again, and a finish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorflow.baselines.acdo.finishes import blend, keep_luminance
from colorflow.baselines.acdo.learner_file import read_learner
from colorflow.baselines.acdo.unet import STRIDE, AcdoUNet
from colorflow.baselines.weights import load_network, port_row
from colorflow.methods import Rows, row_label
from colorflow.schema import NATIVE_SIZE, BatchColorizer, ReferencePool
from colorflow.styles.networks import to_batch
from colorflow.utils.hashing import digest_file
from colorflow.utils.published import Published
from colorflow.utils.tensors import full_precision, resolve_device

UNET = Published(
    "ACDO's network (the GrayScale one of its four, saved as ColorizeArtistic_gen.pth)",
    "by a link in the readme of Dakini/AnimeColorDeOldify (GitHub)",
    "MIT by that readme",
)
MEAN, DEVIATION = (0.7137, 0.6628, 0.6519), (0.2970, 0.3017, 0.2979)
"""Of the pages it was trained on, RGB in [0, 1] (released)."""

FINISHES = {"yuv": keep_luminance, "blend": blend}


@dataclass(frozen=True)
class AcdoSettings:
    """Options of the released code.

    Attributes:
        render_factor: Pages are coloured as squares of 16 times this many pixels; 35 is the released default.
        finish: ``yuv`` keeps the page's luminance (released for gray pages), ``blend`` mixes page and prediction.
    """

    render_factor: int = 35
    finish: str = "yuv"

    def __post_init__(self) -> None:
        """Check both."""
        if self.render_factor < 1:
            raise ValueError(f"acdo render_factor: expected at least 1, got {self.render_factor}; released: 12 to 40")
        if self.finish not in FINISHES:
            raise ValueError(f"acdo finish: expected one of {', '.join(FINISHES)}, got {self.finish!r}")


@dataclass(eq=False)
class Acdo(BatchColorizer):
    """Colours a page by itself: neither references nor the seed are used.

    Attributes:
        network: In eval mode.
        settings: Options.
        digests: SHA-256 of the weight file.
        name: Row name.
    """

    network: AcdoUNet
    settings: AcdoSettings = AcdoSettings()
    digests: dict[str, str] = field(default_factory=dict)
    name: str = "acdo"

    @classmethod
    def from_weights(
        cls, weights: str | Path | None, device: str = "auto", settings: AcdoSettings | None = None, name: str = "acdo"
    ) -> Acdo:
        """Load a released file.

        Args:
            weights: A file of fastai's ``Learner.save``, or of its weights alone.
            device: ``auto`` takes the GPU where there is one.
            settings: Options; default: the released ones.
            name: Row name.

        Raises:
            CheckpointError: For a file that is missing, damaged, or not exactly this network.
        """
        file = UNET.find(weights)
        network = load_network(AcdoUNet, file, read_learner(file), UNET.what).to(resolve_device(device))
        return cls(network, settings or AcdoSettings(), {"unet": digest_file(file)}, name)

    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Colour pages of any size, squares of all in one pass; ``info`` holds the size that a page was coloured at."""
        sources = [page.convert("RGB") for page in pages]
        side = STRIDE * self.settings.render_factor
        where = next(self.network.parameters())
        with torch.no_grad(), full_precision():
            colors = self.network(torch.cat([prepare(source, side) for source in sources]).to(where))
        return [self._finish(*each) for each in zip(sources, to_levels(colors), strict=True)]

    def _finish(self, source: Image.Image, levels: np.ndarray) -> Image.Image:
        """The page of a prediction, ``(side, side, 3)`` uint8 RGB."""
        prediction = Image.fromarray(levels).resize(source.size, Image.Resampling.BILINEAR)
        finish = FINISHES[self.settings.finish]
        result = Image.fromarray(finish(np.asarray(source), np.asarray(prediction)))
        result.info[NATIVE_SIZE] = levels.shape[1::-1]
        return result


def rows(
    weights: str | None,
    render_factor: int = AcdoSettings.render_factor,
    finish: str = AcdoSettings.finish,
    device: str = "auto",
    name: str = "acdo",
) -> Rows:
    """The row of ACDO; weights, device and errors as for `Acdo.from_weights`, options as for `AcdoSettings`."""
    settings = AcdoSettings(render_factor, finish)
    load = partial(Acdo.from_weights, weights, settings=settings, name=name)
    return port_row(load, device, row_label(name, "acdo", "ACDO"))


def prepare(page: Image.Image, side: int) -> Tensor:
    """``(1, 3, side, side)`` float32, normalised, of an RGB page: squashed first, then without colour."""
    pixels = to_batch(page.resize((side, side), Image.Resampling.BILINEAR).convert("LA")).float() / 255
    mean, deviation = _statistics(pixels)
    return (pixels - mean) / deviation


def to_levels(colors: Tensor) -> np.ndarray:
    """``(B, H, W, 3)`` uint8 RGB of ``(B, 3, H, W)`` normalised colours, cut off below the point.

    Raises:
        ValueError: For values that are not finite.
    """
    if not torch.isfinite(colors).all():
        raise ValueError("acdo: expected finite colours, got NaN or infinity; the weights do not fit")
    mean, deviation = _statistics(colors)
    levels = (colors * deviation + mean).clamp(0, 1) * 255
    return levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _statistics(like: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = like.new_tensor(MEAN), like.new_tensor(DEVIATION)
    return mean[:, None, None], deviation[:, None, None]
