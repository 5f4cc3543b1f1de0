"""A codec of generated comics: whitened linear patch latents, and a learned decoder that works at their resolution.

Flat colours and lines need no deep encoder. The principal components of f x f patches of (luma, chroma, chroma) keep
gray and colour in channels of their own, so that a gray query and its colour reference look alike to attention, and
cost nothing to train or to run. What they drop, a small network restores.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

from colorflow.utils.color import LUMA

_GRAY = 3**0.5
"""Length of (1, 1, 1): an error of luma counts as much as the same error of chroma."""


class Components(NamedTuple):
    """Principal components of patches: ``(C, 3, f, f)`` to project on, ``(C,)`` standard deviations, mean patch."""

    basis: Tensor
    scale: Tensor
    mean: Tensor


class PatchCodec(ModelMixin, ConfigMixin):
    """An autoencoder with diffusers' ``AutoencoderKL`` interface: ``encode(x).latent_dist``, ``decode(z).sample``.

    Args:
        latent_channels: Components kept of the ``3 f f`` of a patch.
        factor: Pixels a latent, per side.
        width: Channels of the decoder.
        depth: Residual blocks of the decoder.
        norm_num_groups: Groups of its GroupNorms.
        whitening: Component i of standard deviation s_i is divided by s_i to this power. 1: every component counts the
            same to a loss on latents; 0: as much as it does in the picture (our choice is between).
        scaling_factor: 1; latents have unit variance, on average over the channels, as they are.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 16,
        factor: int = 4,
        width: int = 128,
        depth: int = 3,
        norm_num_groups: int = 8,
        whitening: float = 1.0,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        pixels = 3 * factor**2
        self.encoder = nn.Conv2d(3, latent_channels, factor, stride=factor).requires_grad_(False)
        self.linear_decoder = nn.ConvTranspose2d(latent_channels, 3, factor, stride=factor, bias=False)
        self.linear_decoder.requires_grad_(False)
        self.mean = nn.Parameter(torch.zeros(3, factor, factor), requires_grad=False)
        self.conv_in = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width, norm_num_groups) for _ in range(depth))
        self.norm_out = nn.GroupNorm(norm_num_groups, width)
        self.conv_out = nn.Conv2d(width, pixels, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def fit(self, images: Tensor) -> None:
        """Set encoder and linear decoder to the principal components of images.

        Args:
            images: ``(B, 3, H, W)`` in [-1, 1], sides multiples of the factor; some dozens.
        """
        basis, deviation, mean = principal_components(images, self.config.factor, self.config.latent_channels)
        scale = deviation**self.config.whitening
        scale = scale * (deviation / scale).square().mean().sqrt()
        forward, backward = luma_axes()
        project = torch.einsum("cixy,ij->cjxy", basis / scale[:, None, None, None], forward)
        with torch.no_grad():
            self.encoder.weight.copy_(project)
            self.encoder.bias.copy_(-(basis * mean).sum((1, 2, 3)) / scale)  # type: ignore[union-attr]
            back = torch.einsum("cixy,ji->cjxy", basis * scale[:, None, None, None], backward)
            self.linear_decoder.weight.copy_(back)
            self.mean.copy_(torch.einsum("ixy,ji->jxy", mean, backward))

    def enable_slicing(self) -> None:
        """As of ``AutoencoderKL``; there is nothing to save."""

    def encode(self, images: Tensor, return_dict: bool = True) -> Any:
        """Latents ``(B, C, H / f, W / f)`` of ``(B, 3, H, W)`` images in [-1, 1], as a posterior without variance."""
        latents = self.encoder(images)
        posterior = DiagonalGaussianDistribution(torch.cat([latents, torch.zeros_like(latents)], 1), deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, latents: Tensor, return_dict: bool = True) -> Any:
        """Images ``(B, 3, H, W)`` in about [-1, 1], not clamped, of latents ``(B, C, h, w)``."""
        hidden = self.conv_in(latents)
        for block in self.blocks:
            hidden = block(hidden)
        detail = pixel_shuffle(self.conv_out(silu(self.norm_out(hidden))), self.config.factor)
        images = self.linear_decoder(latents) + self.mean.repeat(1, *latents.shape[-2:]) + detail
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(self, images: Tensor) -> Tensor:
        """Encode and decode."""
        return self.decode(self.encode(images).latent_dist.mean).sample


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, 3 x 3 convolution, twice, beside the identity."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, width), nn.GroupNorm(groups, width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, width, h, w)`` to the same."""
        return hidden + self.conv2(silu(self.norm2(self.conv1(silu(self.norm1(hidden))))))


def luma_axes() -> tuple[Tensor, Tensor]:
    """RGB to (luma, two chroma axes) and back, ``(3, 3)`` each: gray has no chroma, and chroma alone has no luma."""
    luma, gray = torch.tensor(LUMA), torch.ones(3)
    first = torch.linalg.cross(luma, torch.tensor([0.0, 0.0, 1.0]))
    second = torch.linalg.cross(luma, first)
    chroma = torch.stack([axis / axis.norm() for axis in (first, second)])
    forward = torch.stack([_GRAY * luma, *(chroma @ (torch.eye(3) - torch.outer(gray, luma)))])
    backward = torch.stack([gray / _GRAY, *chroma], dim=1)
    return forward, backward


def principal_components(images: Tensor, factor: int, count: int) -> Components:
    """Principal components of the patches of images in the axes of `luma_axes`: of luma or of chroma, none of both.

    Args:
        images: ``(B, 3, H, W)``.
        factor: Side of a patch.
        count: Components to keep, strongest first.
    """
    rotated = torch.einsum("ij,bjhw->bihw", luma_axes()[0], images.float())
    patches = pixel_unshuffle(rotated, factor).permute(0, 2, 3, 1).flatten(0, 2)
    mean = patches.mean(0)
    covariance = (patches - mean).T.cov()
    covariance[: factor**2, factor**2 :] = covariance[factor**2 :, : factor**2] = 0.0
    variances, vectors = torch.linalg.eigh(covariance)
    basis, scale = vectors.flip(1).T[:count], variances.flip(0)[:count].sqrt()
    shape = (3, factor, factor)
    return Components(basis.reshape(count, *shape), scale, mean.reshape(shape))
