"""How PixArt-alpha's transformer denoises a canvas."""

from __future__ import annotations

import torch
from diffusers import DPMSolverMultistepScheduler, ModelMixin, PixArtTransformer2DModel
from torch import Tensor

from colorflow.models.denoiser import Denoiser, guide
from colorflow.models.pixart.guider import PixArtGuider
from colorflow.models.pixart.trunk import transformer_with_control
from colorflow.utils.tensors import to_device


class PixArtDenoiser(Denoiser):
    """Control tokens after the first half of a transformer's blocks (released code 4)."""

    part = "transformer"
    network_class = PixArtTransformer2DModel
    guider_class = PixArtGuider
    solver = DPMSolverMultistepScheduler

    def new_guider(self, network: ModelMixin, conditioning_channels: int) -> ModelMixin:
        """See `PixArtGuider.from_transformer`."""
        return PixArtGuider.from_transformer(network, conditioning_channels)

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
        """See `Denoiser.predict`; the canvas's size in pixels is a condition of both networks.

        Of an answer with a learned variance the first C channels count: guidance is linear, so that taking them
        before it equals the released order (8 channels guided, then cut).
        """
        height, width = noisy_latents.shape[-2:]
        size = to_device(torch.tensor([height * self.factor, width * self.factor]).float(), noisy_latents.device)
        control = guide(guider, noisy_latents, timesteps, condition, size, conditioning_scale)
        answer = transformer_with_control(
            network, noisy_latents, timesteps, encoder_hidden_states, encoder_attention_mask, size, control
        )
        return answer[:, : noisy_latents.shape[1]]
