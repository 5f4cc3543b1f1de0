"""What differs between model families when a canvas is denoised, behind one small interface.

A denoiser holds no weights: the base network and the guider stay where they are trained, saved and moved, and
are passed in. Model, pipeline and export know this interface alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    ModelMixin,
    PixArtTransformer2DModel,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import SchedulerMixin
from torch import Tensor

from colorflow.models.pixart.guider import PixArtGuider
from colorflow.models.pixart.trunk import transformer_with_control
from colorflow.models.sd.guider import ColorizationGuider
from colorflow.models.sd.trunk import unet_with_residuals
from colorflow.utils.tensors import to_device


@dataclass(frozen=True)
class Denoiser(ABC):
    """How one family predicts from noisy latents, timesteps and condition.

    Attributes:
        factor: Image pixels a latent pixel, per side.
        part: Name of the base network: of its folder, attribute and configuration entry.
        network_class: Its class.
        guider_class: The guider that fits it.
        solver: Inference scheduler, as released.
    """

    factor: int
    part: ClassVar[str]
    network_class: ClassVar[Any]
    guider_class: ClassVar[Any]
    solver: ClassVar[Any]

    @abstractmethod
    def new_guider(self, network: ModelMixin, conditioning_channels: int) -> ModelMixin:
        """A guider to train, copied from the base network before LoRA is added."""

    @abstractmethod
    def predict(
        self,
        network: ModelMixin,
        guider: ModelMixin,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        conditioning_scale: float = 1.0,
    ) -> Tensor:
        """Epsilon or v, as the base was trained.

        Args:
            network: Base network, LoRA injected or merged.
            guider: Of ``guider_class``.
            noisy_latents: ``(B, C, h, w)``.
            timesteps: ``(B,)`` or scalar integers in [0, 1000).
            condition: ``(B, conditioning_channels, h, w)``; or of B / n for n copies of the same latents under other
                texts (guidance), for which the guider, blind to text, then runs once.
            encoder_hidden_states: ``(B, L, D)``.
            encoder_attention_mask: ``(B, L)``, 1 for tokens and 0 for padding; None where all are attended to.
            conditioning_scale: Factor on what the guider adds.

        Returns:
            ``(B, C, h, w)``.
        """

    def inference_scheduler(self, config: Any) -> SchedulerMixin:
        """The family's solver on the noise schedule of a (DDPM) configuration."""
        # Named, as a saved DDPM configuration states its own default, "leading", and would hand it on (released: 3.4).
        return self.solver.from_config(config, timestep_spacing="linspace")


class SDDenoiser(Denoiser):
    """Stable Diffusion v1.5 and toon: residuals at every tap point of a U-Net; attends to all text tokens."""

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
        guider: ModelMixin,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        conditioning_scale: float = 1.0,
    ) -> Tensor:
        """See `Denoiser.predict`; a mask is refused, as CLIP's padding is attended to (released code 3.4)."""
        if encoder_attention_mask is not None:
            raise ValueError("SDDenoiser: expected no encoder_attention_mask, got one; use it with PixArt-alpha only")
        residuals = _guide(guider, noisy_latents, timesteps, condition, conditioning_scale)
        return unet_with_residuals(network, noisy_latents, timesteps, encoder_hidden_states, residuals)


class PixArtDenoiser(Denoiser):
    """PixArt-alpha: control tokens after the first half of a transformer's blocks (released code 4)."""

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
        guider: ModelMixin,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor,
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
        control = _guide(guider, noisy_latents, timesteps, condition, size, conditioning_scale)
        answer = transformer_with_control(
            network, noisy_latents, timesteps, encoder_hidden_states, encoder_attention_mask, size, control
        )
        return answer[:, : noisy_latents.shape[1]]


def _guide(
    guider: ModelMixin, noisy_latents: Tensor, timesteps: Tensor, condition: Tensor, *others: Tensor | float
) -> Sequence[Tensor]:
    """What the guider adds to a batch; once for all where the batch is n copies of the condition's."""
    count = len(condition)
    copies = len(noisy_latents) // count
    timesteps = timesteps if timesteps.ndim == 0 else timesteps[:count]
    added: Sequence[Tensor] = guider(noisy_latents[:count], timesteps, condition, *others)
    return added if copies == 1 else [item.repeat(copies, *[1] * (item.ndim - 1)) for item in added]
