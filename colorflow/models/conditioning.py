"""Canvas images to latents and to the guider's condition (released code 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from colorflow.utils.color import LUMA


def latent_factor(vae: AutoencoderKL) -> int:
    """Image pixels a latent pixel, per side (8 for SD1.5)."""
    stated = getattr(vae.config, "factor", None)  # a codec that is no pyramid says it
    return int(stated or 2 ** (len(vae.config.block_out_channels) - 1))


def latent_size(vae: AutoencoderKL, height: int, width: int) -> tuple[int, int]:
    """Latent (height, width) of a canvas; both sides must be multiples of the VAE's factor (8 for SD1.5)."""
    factor = latent_factor(vae)
    if height % factor or width % factor:
        raise ValueError(
            f"canvas sides must be multiples of {factor}, got {width} x {height}; choose a page size (width, height) "
            f"whose doubled sides are"
        )
    return height // factor, width // factor


def encode_posterior(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """The VAE's posterior: all of an encoding that is worth keeping.

    Args:
        vae: Autoencoder.
        images: ``(B, 3, H, W)`` in [-1, 1].

    Returns:
        ``(B, 2, C, h, w)``, mean and standard deviation, not scaled, in the VAE's dtype.
    """
    posterior = vae.encode(images.to(vae.dtype)).latent_dist
    return torch.stack([posterior.mean, posterior.std], dim=1)


def sample_latents(vae: AutoencoderKL, posterior: Tensor, noise: Tensor) -> Tensor:
    """``(B, C, h, w)`` scaled latents of a posterior ``(B, 2, C, h, w)`` at a standard normal draw (0: the mode)."""
    mean, std = posterior.unbind(1)
    return (mean + std * noise.to(mean)) * vae.config.scaling_factor


def encode_latents(vae: AutoencoderKL, images: Tensor, noise: Tensor) -> Tensor:
    """Scaled posterior sample of the VAE.

    Args:
        vae: Its configuration holds the scaling factor.
        images: ``(B, 3, H, W)`` in [-1, 1].
        noise: ``(B, C, h, w)`` standard normal draw of the posterior (zeros give the mode).

    Returns:
        ``(B, C, h, w)`` latents, in the VAE's dtype.
    """
    return sample_latents(vae, encode_posterior(vae, images), noise)


def decode_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """``(B, 3, H, W)`` image in about [-1, 1] (not clamped) of scaled latents."""
    return vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]


class Region(NamedTuple):
    """A part of a canvas to decode.

    Attributes:
        box: Pixels ``(left, top, right, bottom)``, the last two exclusive.
        margin: Latent pixels around it that are decoded with it and cut off.
    """

    box: tuple[int, int, int, int]
    margin: int


def decode_region(vae: AutoencoderKL, latents: Tensor, region: Region) -> Tensor:
    """A part of what `decode_latents` gives, without decoding the rest.

    Approximate unless the margin takes in everything: group norm and the middle attention see the part alone, and
    convolutions reach further than a small margin.

    Args:
        vae: Autoencoder.
        latents: ``(B, C, h, w)``, scaled, of the whole canvas.
        region: Part, inside the canvas.

    Returns:
        ``(B, 3, bottom - top, right - left)`` in about [-1, 1], not clamped.
    """
    (left, top, right, bottom), margin = region
    factor, (height, width) = latent_factor(vae), latents.shape[-2:]
    x, y = max(0, left // factor - margin), max(0, top // factor - margin)
    part = latents[..., y : min(height, -(-bottom // factor) + margin), x : min(width, -(-right // factor) + margin)]
    image = decode_latents(vae, part)
    return image[..., top - y * factor : bottom - y * factor, left - x * factor : right - x * factor]


def split_canvas(canvas: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The canvas with the query painted black, and black with only the query (9-channel conditioning).

    Args:
        canvas: ``(B, 3, H, W)`` in [-1, 1]; black is -1.
        mask: ``(B, 1, H, W)``, 0 on the query; a pixel counts as query below 0.5.
    """
    query, black = mask < 0.5, torch.full_like(canvas, -1.0)
    return torch.where(query, black, canvas), torch.where(query, canvas, black)


def condition_images(vae: AutoencoderKL, canvas: Tensor, mask: Tensor, channels: int) -> tuple[Tensor, ...]:
    """What of a canvas is encoded for the guider: the canvas, or references and query apart.

    Args:
        vae: With C latent channels.
        canvas: ``(B, 3, H, W)`` in [-1, 1], query in black and white.
        mask: ``(B, 1, H, W)`` in [0, 1], 0 on the query.
        channels: Of the condition, ``C + 1`` or ``2 C + 1``.

    Raises:
        ValueError: For another number of channels.
    """
    width = vae.config.latent_channels
    if channels == width + 1:
        return (canvas,)
    if channels != 2 * width + 1:
        raise ValueError(f"conditioning_channels: expected {width + 1} or {2 * width + 1}, got {channels}")
    return split_canvas(canvas, mask)


def shrink_mask(vae: AutoencoderKL, mask: Tensor) -> Tensor:
    """``(B, 1, h, w)`` float32, bilinear without antialiasing (released code), of a mask ``(B, 1, H, W)`` of pixels."""
    size = latent_size(vae, *mask.shape[-2:])
    return interpolate(mask.float(), size=size, mode="bilinear", align_corners=False)


def tone_code(vae: AutoencoderKL, canvas: Tensor, octaves: int) -> Tensor:
    """A canvas's gray values, told finely: sine and cosine of pi 2^j luma for j = 0 .. n - 1, averaged over latents.

    A small network does not tell grays apart that are a few levels of 255 apart; a comic's parts are.

    Args:
        vae: Its factor is the side of what is averaged.
        canvas: ``(B, 3, H, W)`` in [-1, 1].
        octaves: n.

    Returns:
        ``(B, 2 n, h, w)`` in [-1, 1].
    """
    luma = (canvas * canvas.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True) * torch.pi
    waves = [wave(luma * 2**octave) for octave in range(octaves) for wave in (torch.sin, torch.cos)]
    return avg_pool2d(torch.cat(waves, dim=1), latent_factor(vae))


def join_condition(latents: Sequence[Tensor], mask: Tensor, tones: Tensor | None = None) -> Tensor:
    """The guider's condition of latents of `condition_images`, ``(B, C, h, w)`` each, and a mask ``(B, 1, h, w)``.

    Tones ``(B, 2 n, h, w)``, see `tone_code`, come last.
    """
    parts = [latents[0], mask.to(latents[0]), *latents[1:]]
    return torch.cat(parts if tones is None else [*parts, tones.to(latents[0])], dim=1)
