"""How Stable Diffusion v1.5's U-Net denoises a canvas."""

from __future__ import annotations

from diffusers import ModelMixin, UNet2DConditionModel, UniPCMultistepScheduler
from torch import Tensor

from colorflow.models.denoiser import Denoiser, guide
from colorflow.models.sd.guider import ColorizationGuider
from colorflow.models.sd.trunk import unet_with_residuals


class SDDenoiser(Denoiser):
    """Residuals at every tap point of a U-Net; attends to all text tokens."""

    part = "unet"
    network_class = UNet2DConditionModel
    guider_class = ColorizationGuider
    solver = UniPCMultistepScheduler

    def new_guider(self, network: ModelMixin, conditioning_channels: int, tone_octaves: int = 0) -> ModelMixin:
        """See `ColorizationGuider.from_unet`."""
        return ColorizationGuider.from_unet(network, conditioning_channels, tone_octaves)

    def predict(
        self,
        network: ModelMixin,
        guider: ModelMixin | None,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor | None,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        conditioning_scale: float = 1.0,
    ) -> Tensor:
        """See `Denoiser.predict`; a mask is refused, as CLIP's padding is attended to (released code 3.4)."""
        if encoder_attention_mask is not None:
            raise ValueError("SDDenoiser: expected no encoder_attention_mask, got one; use it with PixArt-alpha only")
        residuals = guide(guider, noisy_latents, timesteps, condition, conditioning_scale)
        return unet_with_residuals(network, noisy_latents, timesteps, encoder_hidden_states, residuals or None)
