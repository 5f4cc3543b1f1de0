"""Simulated output of the in-context colorizer: colour pages made small and worse, each sample from its own seed.

What ICP's output lacks against the page: size, sharp lines (its VAE and the small canvas blur them), exact tone and
colour. Each step is a frozen class with the same call, so that a config lists the ones it wants in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import interpolate

from colorflow.models.conditioning import decode_latents, encode_latents, latent_size
from colorflow.utils.color import LUMA
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import to_device


class Degradation(Protocol):
    """One step of the simulation."""

    def __call__(self, images: Tensor, seeds: Sequence[int], vae: AutoencoderKL) -> Tensor:
        """Degrade ``(B, 3, H, W)`` images in [-1, 1], sample i with draws of ``seeds[i]`` alone; the range is kept."""
        ...


@dataclass(frozen=True)
class Downsample:
    """To the size that ICP works at, bicubic with antialiasing as every resize here.

    Attributes:
        size: (width, height) of the query on ICP's canvas.
    """

    size: tuple[int, int]

    def __call__(self, images: Tensor, seeds: Sequence[int], vae: AutoencoderKL) -> Tensor:
        """Resize; nothing is random."""
        width, height = self.size
        return interpolate(images, size=(height, width), mode="bicubic", antialias=True).clamp(-1, 1)


@dataclass(frozen=True)
class VaeRoundTrip:
    """Through the VAE and back, with noise on the latents: what sampling never gets quite right.

    Attributes:
        latent_noise: Largest standard deviation of the noise on (scaled) latents; each sample draws its own.
    """

    latent_noise: float = 0.1

    def __call__(self, images: Tensor, seeds: Sequence[int], vae: AutoencoderKL) -> Tensor:
        """Encode (the posterior's mean), add noise, decode."""
        shape = (vae.config.latent_channels, *latent_size(vae, *images.shape[-2:]))
        latents = encode_latents(vae, images, torch.zeros(len(images), *shape, device=images.device))
        noise, strength = _draw(seeds, "vae", shape, images.device)
        noisy = latents + self.latent_noise * strength * noise
        return decode_latents(vae, noisy.to(latents)).to(images).clamp(-1, 1)


@dataclass(frozen=True)
class ColorJitter:
    """Slightly wrong tones: brightness, contrast and saturation. Hue would be another colour, which no page can mend.

    Attributes:
        brightness: Largest shift of all values, of the range [-1, 1].
        contrast: Largest relative change of the distance to the page's mean.
        saturation: Largest relative change of the distance to the pixel's luminance.
    """

    brightness: float = 0.05
    contrast: float = 0.1
    saturation: float = 0.1

    def __call__(self, images: Tensor, seeds: Sequence[int], vae: AutoencoderKL) -> Tensor:
        """Change each sample by its own three draws."""
        draws = torch.stack([torch.rand(3, generator=generator(seed, "jitter")) for seed in seeds]) * 2 - 1
        shift, contrast, saturation = to_device(draws, images.device).to(images.dtype).unbind(1)
        weights = to_device(torch.tensor(LUMA), images.device).to(images.dtype)[:, None, None]
        gray = (images * weights).sum(1, keepdim=True)
        images = gray + (images - gray) * (1 + self.saturation * saturation)[:, None, None, None]
        mean = images.mean((1, 2, 3), keepdim=True)
        images = mean + (images - mean) * (1 + self.contrast * contrast)[:, None, None, None]
        return (images + self.brightness * shift[:, None, None, None]).clamp(-1, 1)


@dataclass(frozen=True)
class GaussianNoise:
    """White noise on the pixels.

    Attributes:
        std: Largest standard deviation, of the range [-1, 1]; each sample draws its own.
    """

    std: float = 0.05

    def __call__(self, images: Tensor, seeds: Sequence[int], vae: AutoencoderKL) -> Tensor:
        """Add the noise."""
        noise, strength = _draw(seeds, "pixels", tuple(images.shape[1:]), images.device)
        return (images + self.std * strength * noise).clamp(-1, 1)


@torch.no_grad()
def degrade(images: Tensor, seeds: Sequence[int], vae: AutoencoderKL, steps: Sequence[Degradation]) -> Tensor:
    """All steps in order on ``(B, 3, H, W)`` images in [-1, 1]; a sample's result does not depend on its batch."""
    for step in steps:
        images = step(images, seeds, vae)
    return images


def _draw(seeds: Sequence[int], name: str, shape: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Standard normal ``(B, *shape)`` and uniform ``(B, 1, 1, 1)`` in [0, 1), drawn on the CPU sample by sample."""
    normals, uniforms = [], []
    for seed in seeds:
        source = generator(seed, name)
        uniforms.append(torch.rand(1, 1, 1, generator=source))
        normals.append(torch.randn(tuple(shape), generator=source))
    return to_device(torch.stack(normals), device), to_device(torch.stack(uniforms), device)
