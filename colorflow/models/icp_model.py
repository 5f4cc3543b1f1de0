"""The in-context colorizer: a frozen base with LoRA, and the guider (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from colorflow.models.base import BaseModel
from colorflow.models.conditioning import encode_condition, encode_latents, latent_size
from colorflow.models.guider import ColorizationGuider
from colorflow.models.lora import TARGET_MODULES, add_lora
from colorflow.models.unet_trunk import unet_with_residuals


class LoraSettings(NamedTuple):
    """Rank, scale and place of the LoRA layers (released code 3.5; Table 4 varies the rank)."""

    r: int = 64
    lora_alpha: int = 64
    target_modules: Sequence[str] = TARGET_MODULES


class ICPModel(nn.Module):
    """Everything that denoises a canvas; what is trained is the guider and the LoRA layers.

    Args:
        base: Frozen base; its U-Net is modified in place where LoRA is added.
        guider: Colorization guider that fits the base.
        lora: Adds fresh LoRA layers; None leaves the U-Net as it is (already injected, or without).
    """

    def __init__(self, base: BaseModel, guider: ColorizationGuider, lora: LoraSettings | None = None) -> None:
        super().__init__()
        self.source, self.revision, self.prompt = base.source, base.revision, base.prompt
        self.vae: AutoencoderKL = base.vae.requires_grad_(False).eval()
        self.unet: UNet2DConditionModel = base.unet
        self.guider = guider
        self.noise_scheduler: DDPMScheduler = base.scheduler
        self.prompt_embeds: Tensor
        self.negative_prompt_embeds: Tensor
        self.register_buffer("prompt_embeds", base.prompt_embeds, persistent=False)
        self.register_buffer("negative_prompt_embeds", base.negative_prompt_embeds, persistent=False)
        if lora is not None:
            add_lora(self.unet, *lora)

    @classmethod
    def from_base(cls, base: BaseModel, lora: LoraSettings, conditioning_channels: int = 5) -> ICPModel:
        """A new model to train: guider copied from the base's U-Net, fresh LoRA."""
        guider = ColorizationGuider.from_unet(base.unet, conditioning_channels).float()
        return cls(base, guider, lora)

    def train(self, mode: bool = True) -> ICPModel:
        """Switch to training mode; the frozen VAE stays in evaluation mode."""
        super().train(mode)
        self.vae.eval()
        return self

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and parameter of everything that is trained."""
        return ((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)

    def latent_shape(self, images: Tensor) -> tuple[int, int, int]:
        """``(C, h, w)`` of the latents of ``(B, 3, H, W)`` images."""
        return (self.vae.config.latent_channels, *latent_size(self.vae, *images.shape[-2:]))

    @torch.no_grad()
    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Scaled latents of ``(B, 3, H, W)`` images in [-1, 1]."""
        return encode_latents(self.vae, images, noise)

    @torch.no_grad()
    def encode_condition(self, canvas: Tensor, mask: Tensor, noises: tuple[Tensor, Tensor]) -> Tensor:
        """The guider's condition; see `colorflow.models.conditioning.encode_condition`."""
        return encode_condition(self.vae, canvas, mask, self.guider.config.conditioning_channels, noises)

    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor,
        encoder_hidden_states: Tensor | None = None,
        conditioning_scale: float = 1.0,
    ) -> Tensor:
        """Predict epsilon or v.

        Args:
            noisy_latents: ``(B, C, h, w)``.
            timesteps: ``(B,)`` or scalar integers.
            condition: ``(B, conditioning_channels, h, w)``.
            encoder_hidden_states: ``(B, L, D)``; default: the fixed prompt.
            conditioning_scale: Factor on the guider's residuals.

        Returns:
            ``(B, C, h, w)``.
        """
        if encoder_hidden_states is None:
            encoder_hidden_states = self.prompt_embeds.to(noisy_latents.dtype).expand(len(noisy_latents), -1, -1)
        residuals = self.guider(noisy_latents, timesteps, condition, conditioning_scale)
        return unet_with_residuals(self.unet, noisy_latents, timesteps, encoder_hidden_states, residuals)
