"""Colour page to screentone, as the released ColorFlow runs it: two networks, their paddings, and luminance twice."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorflow.styles.screen.blocks import pad_to_next_128
from colorflow.styles.screen.generator import ScreenGenerator
from colorflow.styles.screen.vae import Draws, ScreenDecoder

_MULTIPLE = 256
_LUMA = (19595, 38470, 7471)  # ITU-R 601 in 1/65536, the integers of Pillow's "L"


class Screen(NamedTuple):
    """A rendered batch; B pages of H x W pixels, floats.

    Attributes:
        code: ``(B, 4, H, W)`` in [-1, 1], the screen code.
        raw: ``(B, 1, H, W)``, the decoder's output, unbounded.
        once: ``(B, 1, H, W)`` in [-1, 1], the screentone times the luminance.
        page: ``(B, 1, H, W)`` in [-1, 1], that times the luminance once more: what the released code uses.
    """

    code: Tensor
    raw: Tensor
    once: Tensor
    page: Tensor


class ScreenPath(nn.Module):
    """``G_RGB2INTSCR`` and the ScreenVAE decoder.

    Args:
        generator_width: Width of the first (official: 48).
        decoder_width: Width of the second (official: 48).
    """

    def __init__(self, generator_width: int = 48, decoder_width: int = 48) -> None:
        super().__init__()
        self.generator = ScreenGenerator(generator_width)
        self.decoder = ScreenDecoder(decoder_width)

    def forward(self, pages: Tensor, draws: Draws | None = None) -> Screen:
        """Render pages of one size.

        Args:
            pages: ``(B, 3, H, W)`` uint8 RGB, any size.
            draws: Dropout and noise of the decoder; None for none.

        Returns:
            The screentone and what led to it, without padding.
        """
        height, width = pages.shape[-2:]
        device, dtype = self.generator.model.noiseblock.weight.device, self.generator.model.noiseblock.weight.dtype
        pages = pages.to(device)
        light, color = (signed(pad_to_256(part), dtype) for part in (luminance(pages), pages))
        code = self.generator(torch.cat([light, color], dim=1))
        raw = self.decoder(pad_to_next_128(code), draws)[..., : light.shape[-2], : light.shape[-1]]
        once = ((raw + 1) * (light + 1) / 2 - 1).clamp(-1, 1)
        page = (once + 1) * (light + 1) / 2 - 1
        return Screen(*(part[..., :height, :width] for part in (code, raw, once, page)))


def luminance(pages: Tensor) -> Tensor:
    """Pillow's luminance: ``(B, 1, H, W)`` uint8 of ``(B, 3, H, W)`` uint8."""
    red, green, blue = (pages[:, i : i + 1].int() * factor for i, factor in enumerate(_LUMA))
    return (red + green + blue + 0x8000 >> 16).to(torch.uint8)


def to_levels(page: Tensor) -> Tensor:
    """Floats in [-1, 1] to uint8, cut off below the point, as released."""
    return ((page + 1) / 2 * 255).clamp(0, 255).to(torch.uint8)


def pad_to_256(x: Tensor) -> Tensor:
    """Pad right and bottom to multiples of 256 by 255 in the first channel: white, for RGB pure red (released)."""
    right, bottom = (-side % _MULTIPLE for side in (x.shape[-1], x.shape[-2]))
    padded = F.pad(x, (0, right, 0, bottom))
    padded[:, 0, x.shape[-2] :] = 255
    padded[:, 0, :, x.shape[-1] :] = 255
    return padded


def signed(x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Levels in [0, 255] to [-1, 1]."""
    return (x.to(dtype) / 255 - 0.5) / 0.5
