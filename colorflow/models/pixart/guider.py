"""The colorization guider of the PixArt-alpha family: half a transformer without text that answers with tokens.

Released code 4; parameter names and shapes are those of the released checkpoints.
"""

from __future__ import annotations

import inspect

import torch
from diffusers import ConfigMixin, ModelMixin, PixArtTransformer2DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.controlnets.controlnet import zero_module
from torch import Tensor, nn

from colorflow.models.denoiser import start_as_copy
from colorflow.models.pixart.trunk import embed_patches, embed_timesteps, run_blocks

RELEASED_ALIAS = "after_proj."
"""Released files hold the last ``adapter_linear`` a second time under this prefix; here it is stored once."""


class PixArtGuider(ModelMixin, ConfigMixin):
    """First half of the base's blocks without cross-attention, one zero-initialised linear layer after each.

    The constructor's names are those of the released ``config.json``; its further entries are ignored by
    `from_config`. Defaults are PixArt-XL-2-1024-MS's.

    Args:
        num_attention_heads: Heads of self-attention.
        attention_head_dim: Channels of a head; the width D is the product.
        in_channels: Channels of the noisy latents.
        cond_channels: Latents of the references, mask, latents of the query (9, as released), or 5.
        num_layers: Blocks of the *base*; the guider has half of them, rounded down.
        sample_size: Latent side that positions are counted for.
        patch_size: Latent pixels a token, per side.
        interpolation_scale: Of positions; None is ``max(sample_size // 64, 1)``.
        use_additional_conditions: Resolution and aspect ratio; None switches them on for a ``sample_size`` of 128.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 16,
        attention_head_dim: int = 72,
        in_channels: int = 4,
        cond_channels: int = 9,
        num_layers: int = 28,
        sample_size: int = 128,
        patch_size: int = 2,
        interpolation_scale: float | None = None,
        use_additional_conditions: bool | None = None,
    ) -> None:
        super().__init__()
        body = PixArtTransformer2DModel(
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels + cond_channels,
            num_layers=num_layers // 2,
            cross_attention_dim=None,
            sample_size=sample_size,
            patch_size=patch_size,
            interpolation_scale=interpolation_scale,
            use_additional_conditions=use_additional_conditions,
        )
        self.gradient_checkpointing = False
        self.pos_embed = body.pos_embed
        self.adaln_single = body.adaln_single
        self.transformer_blocks = body.transformer_blocks
        width = num_attention_heads * attention_head_dim
        self.adapter_linear = nn.ModuleList(zero_module(nn.Linear(width, width)) for _ in self.transformer_blocks)

    @property
    def conditioning_channels(self) -> int:
        """Channels of the condition, under the name that all guiders share."""
        return int(self.config.cond_channels)

    @classmethod
    def from_transformer(cls, transformer: PixArtTransformer2DModel, cond_channels: int = 9) -> PixArtGuider:
        """Start from a base transformer; ours, after the released rule for U-Nets (docs/deviations.md).

        The first half of the blocks is copied (control joins the base after the same ones), as `start_as_copy` does.

        Args:
            transformer: Base transformer, before LoRA layers are injected.
            cond_channels: See the class.

        Raises:
            ValueError: If the transformer has LoRA layers or lacks a tensor that the guider needs.
        """
        names, config = inspect.signature(cls.__init__).parameters, transformer.config
        guider = cls(cond_channels=cond_channels, **{name: config[name] for name in names if name in config})
        start_as_copy(guider, transformer, "adapter_linear.", ("pos_embed.proj", "pos_embed.proj"))
        return guider

    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor,
        image_size: Tensor,
        conditioning_scale: float = 1.0,
    ) -> tuple[Tensor, ...]:
        """Control tokens for the first half of the base's blocks.

        Args:
            noisy_latents: ``(B, in_channels, h, w)``.
            timesteps: ``(B,)`` or scalar integers.
            condition: ``(B, cond_channels, h, w)``.
            image_size: ``(2,)`` or ``(B, 2)``: height and width of the canvas in pixels.
            conditioning_scale: Factor on every control tensor.

        Returns:
            One ``(B, N, D)`` tensor a block (14 as released), N = h w / patch_size^2.
        """
        expected = self.conditioning_channels
        if condition.shape[1] != expected:
            raise ValueError(f"condition has {condition.shape[1]} channels, this guider expects {expected}")
        layers = iter(self.adapter_linear)
        control: list[Tensor] = []

        def tap(tokens: Tensor) -> Tensor:
            control.append(next(layers)(tokens) * conditioning_scale)
            return tokens

        tokens = embed_patches(self, torch.cat([noisy_latents, condition], dim=1))
        modulation, _ = embed_timesteps(self, timesteps, tokens, image_size)
        run_blocks(self, tokens, modulation, None, None, tap)
        return tuple(control)
