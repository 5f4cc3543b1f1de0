"""The in-context colorizer: a frozen base with LoRA, and the guider (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, DDPMScheduler, ModelMixin
from torch import Tensor, nn

from colorflow.models.base import Base
from colorflow.models.conditioning import (
    condition_images,
    encode_latents,
    encode_posterior,
    join_condition,
    latent_size,
    sample_latents,
    shrink_mask,
    tone_code,
)
from colorflow.models.denoiser import Denoiser
from colorflow.models.lora import TARGET_MODULES, add_lora
from colorflow.schema import ColorizationBatch, LatentBatch


class LoraSettings(NamedTuple):
    """Rank, scale and place of the LoRA layers (released code 3.5; Table 4 varies the rank)."""

    r: int = 64
    lora_alpha: int = 64
    target_modules: Sequence[str] = TARGET_MODULES


class ICPModel(nn.Module):
    """Everything that denoises a canvas; what is trained is the guider and the LoRA layers.

    The base network is kept under its family's own name for it, and is ``network`` in any.

    Args:
        base: Frozen base; its network is modified in place where LoRA is added.
        guider: Colorization guider that fits the base; None leaves the base's network alone, to be trained by itself.
        lora: Adds fresh LoRA layers; None leaves the network as it is (already injected, or without).
    """

    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor
    prompt_mask: Tensor | None
    negative_prompt_mask: Tensor | None

    def __init__(self, base: Base, guider: ModelMixin | None, lora: LoraSettings | None = None) -> None:
        super().__init__()
        self.family, self.source, self.revision, self.prompt = base.family, base.source, base.revision, base.prompt
        self.denoiser: Denoiser = base.denoiser
        self.vae: AutoencoderKL = base.vae.requires_grad_(False).eval()
        self.add_module(self.denoiser.part, base.network)
        self.guider: Any = guider
        self.noise_scheduler: DDPMScheduler = base.scheduler
        for name in ("prompt_embeds", "negative_prompt_embeds", "prompt_mask", "negative_prompt_mask"):
            self.register_buffer(name, getattr(base, name), persistent=False)
        if lora is not None:
            add_lora(self.network, *lora)

    @classmethod
    def from_base(
        cls, base: Base, lora: LoraSettings, conditioning_channels: int = 5, tone_octaves: int = 0
    ) -> ICPModel:
        """A new model to train: guider copied from the base's network, fresh LoRA."""
        tones = {"tone_octaves": tone_octaves} if tone_octaves else {}  # most families know none
        guider = base.denoiser.new_guider(base.network, conditioning_channels, **tones).float()
        return cls(base, guider, lora)

    @property
    def network(self) -> ModelMixin:
        """The base network, whatever family."""
        return self.get_submodule(self.denoiser.part)

    @property
    def device(self) -> torch.device:
        """Where the autoencoder is, and all else but parts that wait for their turn."""
        return self.vae.device

    @property
    def dtype(self) -> torch.dtype:
        """What the base network is kept in."""
        return self.network.dtype

    @property
    def encodings(self) -> int:
        """How often a condition is encoded: once, or references and query apart."""
        return int(self.guider.conditioning_channels // self.vae.config.latent_channels)

    @property
    def tone_octaves(self) -> int:
        """Octaves of `colorflow.models.conditioning.tone_code` in the condition; 0 without."""
        return getattr(self.guider, "tone_octaves", 0)

    def train(self, mode: bool = True) -> ICPModel:
        """Switch to training mode; the frozen VAE stays in evaluation mode."""
        super().train(mode)
        self.vae.eval()
        return self

    def latent_shape(self, images: Tensor) -> tuple[int, int, int]:
        """``(C, h, w)`` of the latents of ``(B, 3, H, W)`` images."""
        return (self.vae.config.latent_channels, *latent_size(self.vae, *images.shape[-2:]))

    @torch.no_grad()
    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Scaled latents of ``(B, 3, H, W)`` images in [-1, 1]."""
        return encode_latents(self.vae, images, noise)

    @torch.no_grad()
    def encode_condition(self, canvas: Tensor, mask: Tensor, noises: tuple[Tensor, Tensor]) -> Tensor:
        """The guider's condition ``(B, conditioning_channels + 2 tone_octaves, h, w)``.

        Args:
            canvas: ``(B, 3, H, W)`` in [-1, 1], query in black and white.
            mask: ``(B, 1, H, W)`` in [0, 1], 0 on the query.
            noises: Posterior draws of the (first, second) encoding; the second serves references and query apart.
        """
        images = condition_images(self.vae, canvas, mask, self.guider.conditioning_channels)
        latents = [encode_latents(self.vae, image, noise) for image, noise in zip(images, noises, strict=False)]
        tones = tone_code(self.vae, canvas, self.tone_octaves) if self.tone_octaves else None
        return join_condition(latents, shrink_mask(self.vae, mask), tones)

    @torch.no_grad()
    def encode_batch(self, batch: ColorizationBatch | LatentBatch) -> LatentBatch:
        """Posteriors of a batch's target and condition; a batch from a cache has them already."""
        if isinstance(batch, LatentBatch):
            return batch
        images = condition_images(self.vae, batch.condition, batch.mask, self.guider.conditioning_channels)
        condition = torch.stack([encode_posterior(self.vae, image) for image in images], dim=1)
        target, mask = encode_posterior(self.vae, batch.target), shrink_mask(self.vae, batch.mask)
        return LatentBatch(
            target,
            condition,
            mask,
            labels=batch.labels,
            tones=tone_code(self.vae, batch.condition, self.tone_octaves) if self.tone_octaves else None,
            page_ids=batch.page_ids,
            seeds=batch.seeds,
            unreadable=batch.unreadable,
        )

    def draw_latents(self, batch: LatentBatch, noise: Tensor) -> Tensor:
        """Scaled latents ``(B, C, h, w)`` of the target, float32."""
        return sample_latents(self.vae, batch.target, noise).float()

    def draw_condition(self, batch: LatentBatch, noises: Sequence[Tensor]) -> Tensor:
        """The guider's condition ``(B, conditioning_channels, h, w)``; each encoding has a draw of its own."""
        pairs = zip(batch.condition.unbind(1), noises, strict=False)
        return join_condition([sample_latents(self.vae, *pair) for pair in pairs], batch.mask, batch.tones)

    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        conditioning_scale: float = 1.0,
        encoder_attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Predict epsilon or v.

        Args:
            noisy_latents: ``(B, C, h, w)``.
            timesteps: ``(B,)`` or scalar integers.
            condition: ``(B, conditioning_channels, h, w)``; None without a guider.
            encoder_hidden_states: ``(B, L, D)``; default: the fixed prompt and its mask.
            conditioning_scale: Factor on what the guider adds.
            encoder_attention_mask: ``(B, L)`` of the given text, where the family masks padding.

        Returns:
            ``(B, C, h, w)``.
        """
        text: tuple[Tensor, Tensor | None]
        if encoder_hidden_states is not None:
            text = encoder_hidden_states, encoder_attention_mask
        else:
            count, mask = len(noisy_latents), self.prompt_mask
            embeds = self.prompt_embeds.to(noisy_latents.dtype).expand(count, -1, -1)
            text = embeds, None if mask is None else mask.expand(count, -1)
        networks = self.network, self.guider
        return self.denoiser.predict(*networks, noisy_latents, timesteps, condition, *text, conditioning_scale)
