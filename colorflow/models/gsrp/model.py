"""Guided super-resolution: a frozen VAE with fused skips from its encoder to its decoder (paper section 3.3).

Skips join diffusers' own ``AutoencoderKL`` by one explicit walk through each half of it: no fork, no hooks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from colorflow.models.conditioning import latent_factor
from colorflow.models.gsrp.fusion import FusionNetwork, NormMode, UpsampleMode


def encoder_features(vae: AutoencoderKL, images: Tensor) -> list[Tensor]:
    """The encoder's features that are tapped: after the input convolution and after every down block.

    Args:
        vae: With N levels.
        images: ``(B, 3, H, W)`` in [-1, 1], sides multiples of the VAE's factor.

    Returns:
        N + 1 tensors, finest first; the last is what `posterior_of` takes.
    """
    features = [vae.encoder.conv_in(images.to(vae.dtype))]
    for block in vae.encoder.down_blocks:
        features.append(block(features[-1]))
    return features


def posterior_of(vae: AutoencoderKL, feature: Tensor) -> DiagonalGaussianDistribution:
    """The rest of the encoder: from its last tapped feature to the (unscaled) posterior of the latents."""
    encoder = vae.encoder
    hidden = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(encoder.mid_block(feature))))
    return DiagonalGaussianDistribution(hidden if vae.quant_conv is None else vae.quant_conv(hidden))


def decode_with_skips(vae: AutoencoderKL, latents: Tensor, skips: Iterable[Tensor]) -> Tensor:
    """Decode with one feature added before the middle block and one before every up block.

    Args:
        vae: With N levels.
        latents: ``(B, C, h, w)``, a posterior sample without the scaling factor (released code 5.4).
        skips: N + 1 fused features, coarsest first, each taken where it is needed.

    Returns:
        ``(B, 3, H, W)`` in about [-1, 1].

    Raises:
        ValueError: If the number of features is not that of the VAE's levels + 1.
    """
    decoder, remaining = vae.decoder, iter(skips)
    hidden = decoder.conv_in(latents if vae.post_quant_conv is None else vae.post_quant_conv(latents))
    for number, block in enumerate((decoder.mid_block, *decoder.up_blocks)):
        hidden = hidden + _next(remaining, number, len(decoder.up_blocks) + 1).to(hidden)
        hidden = block(hidden)
    if next(remaining, None) is not None:
        raise ValueError(f"this VAE takes {len(decoder.up_blocks) + 1} skips, got more")
    return decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(hidden)))


def _next(skips: Iterator[Tensor], number: int, expected: int) -> Tensor:
    for skip in skips:
        return skip
    raise ValueError(f"this VAE takes {expected} skips, got {number}")


class GSRPModel(nn.Module):
    """A low-resolution colour result and the page in black and white to the page in colour.

    Args:
        vae: Frozen here.
        fusion: What is trained.
        own_vae: Whether the VAE is its own, and not the colorizer's: it is exported with it then.

    Raises:
        ValueError: If the fusion network was made for a VAE of other widths.
    """

    def __init__(self, vae: AutoencoderKL, fusion: FusionNetwork, own_vae: bool = False) -> None:
        super().__init__()
        expected, got = list(vae.config.block_out_channels), list(fusion.config.block_out_channels)
        if expected != got:
            raise ValueError(
                f"the fusion network is made for a VAE of widths {got}, this VAE has {expected}; use it with the "
                "family it was trained for"
            )
        self.vae: AutoencoderKL = vae.requires_grad_(False).eval()
        self.fusion, self.own_vae = fusion, own_vae

    @classmethod
    def from_vae(
        cls,
        vae: AutoencoderKL,
        norm_mode: NormMode = "batch",
        upsample_mode: UpsampleMode = "bilinear",
        own_vae: bool = False,
    ) -> GSRPModel:
        """A model to train: a fresh fusion network that fits the VAE."""
        return cls(vae, FusionNetwork(tuple(vae.config.block_out_channels), norm_mode, upsample_mode), own_vae)

    def train(self, mode: bool = True) -> GSRPModel:
        """Switch to training mode; the frozen VAE stays in evaluation mode."""
        super().train(mode)
        self.vae.eval()
        return self

    @property
    def factor(self) -> int:
        """Pixels a latent: pages are padded to multiples of it inside."""
        return latent_factor(self.vae)

    def forward(self, gray: Tensor, low_res_color: Tensor, noise: Tensor | None = None) -> Tensor:
        """The page in colour.

        Args:
            gray: ``(B, 3, H, W)`` in [-1, 1], the black-and-white page, any size.
            low_res_color: ``(B, 3, h, w)`` in [-1, 1], the colour result of the same page.
            noise: ``(B, C, ...)`` standard normal draw for the posterior of the colour's latents; None takes the
                posterior's mean, so that a page has one result (released: sampled from the global generator).

        Returns:
            ``(B, 3, H, W)`` in about [-1, 1], not clamped.
        """
        height, width = gray.shape[-2:]
        color = upsample(low_res_color, (height, width), self.fusion.config.upsample_mode)
        with torch.no_grad():
            color_features = encoder_features(self.vae, self._padded(color))
            gray_features = encoder_features(self.vae, self._padded(gray))
            posterior = posterior_of(self.vae, color_features[-1])
            latents = posterior.mean if noise is None else posterior.mean + posterior.std * noise.to(posterior.mean)
        fused = self.fusion.coarse_to_fine(color_features, gray_features)
        return decode_with_skips(self.vae, latents, fused)[..., :height, :width]

    def _padded(self, images: Tensor) -> Tensor:
        """Repeat the last row and column up to multiples of the factor; a resize would blur lines."""
        height, width = images.shape[-2:]
        right, bottom = -width % self.factor, -height % self.factor
        return pad(images, (0, right, 0, bottom), mode="replicate") if right or bottom else images


def upsample(images: Tensor, size: tuple[int, int], mode: UpsampleMode = "bilinear") -> Tensor:
    """Bring ``(B, 3, h, w)`` images in [-1, 1] to ``size`` (height, width); bicubic is Pillow's, clamped as there."""
    if images.shape[-2:] == size:
        return images
    # With antialias torch's bicubic has Pillow's kernel (a = -0.5), without it another one (-0.75).
    resized = interpolate(images, size=size, mode=mode, align_corners=False, antialias=mode == "bicubic")
    return resized.clamp(-1.0, 1.0)
