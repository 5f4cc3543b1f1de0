"""MC-v2 as a method: denoise, resize, colour, bring back to the page's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorflow.baselines.mcv2.denoiser import Denoiser, denoise
from colorflow.baselines.mcv2.generator import Generator
from colorflow.baselines.mcv2.resize import MULTIPLE, network_size, pad_free_side, resize_area
from colorflow.baselines.weights import load_network, port_row, together
from colorflow.methods import Rows, row_label
from colorflow.schema import NATIVE_SIZE, BatchColorizer, ReferencePool
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import to_image
from colorflow.utils.published import Published
from colorflow.utils.tensors import full_precision, read_tensors, resolve_device

_WHERE = "by a link in the readme of qweasdd/manga-colorization-v2 (GitHub)"
GENERATOR = Published("MC-v2's generator (generator.zip, as it is)", _WHERE, "none, all rights reserved")
DENOISER = Published(
    "MC-v2's denoiser (net_rgb.pth)", _WHERE, "none for the file; its code is GPL-3", key="method.denoiser"
)


@dataclass(frozen=True)
class McV2Settings:
    """Options of the official command line, with its defaults.

    Attributes:
        size: Width in pixels that a page is coloured at, a multiple of 32; a wider page gets 1.5 times that in height.
        sigma: Noise that the denoiser takes away, standard deviation in levels of 255.
    """

    size: int = 576
    sigma: float = 25.0

    def __post_init__(self) -> None:
        """Check both."""
        if self.size < MULTIPLE or self.size % MULTIPLE:
            raise ValueError(f"mcv2 size: expected a multiple of {MULTIPLE}, got {self.size}; 576 is the official one")
        if self.sigma < 0:
            raise ValueError(f"mcv2 sigma: expected at least 0, got {self.sigma}; 25 is the official one")


@dataclass(eq=False)
class McV2(BatchColorizer):
    """Colours a page by itself: neither references nor the seed are used.

    Attributes:
        generator: In eval mode.
        denoiser: In eval mode, on the same device; None: pages are coloured as they are.
        settings: Options.
        digests: SHA-256 of the weight files by their role.
        name: Row name.
    """

    generator: Generator
    denoiser: Denoiser | None
    settings: McV2Settings = McV2Settings()
    digests: dict[str, str] = field(default_factory=dict)
    name: str = "mcv2"

    @classmethod
    def from_weights(
        cls,
        weights: str | Path | None,
        denoiser: str | Path | None,
        device: str = "auto",
        settings: McV2Settings | None = None,
        name: str = "mcv2",
    ) -> McV2:
        """Load the official files.

        Args:
            weights: The generator's file (``generator.zip``, which is a PyTorch file as it is), or safetensors.
            denoiser: The denoiser's file (``net_rgb.pth``); None: pages are coloured as they are.
            device: ``auto`` takes the GPU where there is one.
            settings: Options; default: the official ones.
            name: Row name.

        Raises:
            CheckpointError: For files that are missing, damaged, or not exactly these networks.
        """
        file = GENERATOR.find(weights)
        place = resolve_device(device)
        generator = load_network(Generator, file, read_tensors(file), GENERATOR.what).to(place)
        cleaner, digests = None, {"generator": digest_file(file)}
        if denoiser is not None:
            file = DENOISER.find(denoiser)
            cleaner = load_network(Denoiser, file, read_tensors(file), DENOISER.what).to(place)
            digests["denoiser"] = digest_file(file)
        return cls(generator, cleaner, settings or McV2Settings(), digests, name)

    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Colour pages, as `paint` without hints; those of one size at the networks go through them together."""
        return self._paint(pages, [None] * len(pages))

    def paint(self, page: Image.Image, hint: Image.Image | None = None) -> Image.Image:
        """Colour a page.

        Args:
            page: Black and white, any size.
            hint: RGBA of the page's size: a colour where it is opaque, nothing where it is transparent. The official
                command line gives none.

        Returns:
            RGB of the page's size; ``info`` holds the size that it was coloured at.

        Raises:
            ValueError: For a hint of another size.
        """
        if hint is not None and hint.size != page.size:
            raise ValueError(f"hint: expected the page's size {page.size}, got {hint.size}; resize it to the page")
        return self._paint([page], [hint])[0]

    @full_precision()
    def _paint(self, pages: Sequence[Image.Image], hints: Sequence[Image.Image | None]) -> list[Image.Image]:
        planes = self.prepare([np.asarray(page.convert("RGB"), dtype=np.float32) / 255 for page in pages])
        return [_finish(*each) for each in zip(self.paint_planes(planes, hints), pages, strict=True)]

    def prepare(self, pages: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Denoise, where there is a denoiser, and take the channel that the generator is shown.

        Args:
            pages: ``(H, W, 3)`` float32 RGB in [0, 1] each, or uint8 where there is no denoiser.

        Returns:
            ``(h, w)`` uint8 each: blue of the denoised page; without a denoiser red of the page, in its type.
        """
        if self.denoiser is not None:
            clean = partial(denoise, self.denoiser, sigma=self.settings.sigma)
            pages = together(pages, np.shape, clean)  # BGR
        return [pixels[..., 0] for pixels in pages]

    def paint_planes(self, planes: Sequence[np.ndarray], hints: Sequence[Image.Image | None]) -> list[Tensor]:
        """Colour what `prepare` gave.

        Args:
            planes: ``(H, W)`` uint8 each, or float32 in [0, 1].
            hints: One a plane, as for `paint`.

        Returns:
            ``(3, h, w)`` float32 in [-1, 1] each, at the size of the network.
        """
        sizes = [network_size(plane.shape[1], plane.shape[0], self.settings.size) for plane in planes]
        inputs = [_network_input(*each) for each in zip(planes, hints, sizes, strict=True)]
        colors = together(inputs, lambda x: x.shape, self._generate)
        return [color[:, :height, :width] for color, (width, height) in zip(colors, sizes, strict=True)]

    @torch.no_grad()
    def _generate(self, inputs: Sequence[Tensor]) -> Tensor:
        device = next(self.generator.parameters()).device
        return self.generator(torch.cat(list(inputs)).to(device))


def rows(
    weights: str | None,
    denoiser: str | None,
    size: int = McV2Settings.size,
    sigma: float = McV2Settings.sigma,
    device: str = "auto",
    name: str = "mcv2",
) -> Rows:
    """The row of MC-v2; files, device and errors as for `McV2.from_weights`, options as for `McV2Settings`."""
    load = partial(McV2.from_weights, weights, denoiser, settings=McV2Settings(size, sigma), name=name)
    return port_row(load, device, row_label(name, "mcv2", "MC-v2"))


def _finish(colors: Tensor, page: Image.Image) -> Image.Image:
    """The result at the page's size."""
    native = to_image(colors, truncate=True)  # as matplotlib does, which writes the official results
    result = native.resize(page.size, Image.Resampling.BICUBIC)
    result.info[NATIVE_SIZE] = native.size
    return result


def _network_input(plane: np.ndarray, hint: Image.Image | None, size: tuple[int, int]) -> Tensor:
    """``(1, 5, h, w)`` of a plane, brought to a size (width, height) and padded."""
    padded, _ = pad_free_side(resize_area(plane, size))
    gray = to_unit(padded)
    return torch.cat([gray, _hint_planes(hint, size, gray)], 1)


def to_unit(plane: np.ndarray) -> Tensor:
    """``(1, 1, h, w)`` float32 in [0, 1]."""
    values = torch.from_numpy(np.ascontiguousarray(plane))[None, None]
    return values.float().div(255) if plane.dtype == np.uint8 else values


def _hint_planes(hint: Image.Image | None, size: tuple[int, int], gray: Tensor) -> Tensor:
    """``(1, 4, h, w)`` of a padded page: RGB in [-1, 1] times the mask, and the mask; zero without a hint."""
    planes = gray.new_zeros(1, 4, *gray.shape[-2:])
    if hint is not None:
        rgba = np.asarray(hint.convert("RGBA").resize(size, Image.Resampling.NEAREST), dtype=np.float32) / 255
        values = torch.from_numpy(rgba).permute(2, 0, 1)
        mask = (values[3:] >= 0.5).float()
        planes[0, :, : size[1], : size[0]] = torch.cat([(values[:3] - 0.5) / 0.5 * mask, mask])
    return planes
