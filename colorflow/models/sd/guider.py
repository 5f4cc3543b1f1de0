"""The colorization guider: a U-Net without text that reads the canvas and answers with dense residuals.

Paper section 3.2; parameter names and shapes are those of the released checkpoints, so that their files
load strictly (the ``brushnet_`` prefix is theirs).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.controlnets.controlnet import zero_module
from torch import Tensor, nn

from colorflow.models.denoiser import start_as_copy
from colorflow.models.sd.trunk import embed_timesteps, run_trunk, tap_widths

SELF_ATTENTION_DOWN = ("SelfAttnDownBlock2D",) * 3 + ("DownBlock2D",)
SELF_ATTENTION_UP = ("UpBlock2D",) + ("SelfAttnUpBlock2D",) * 3


class ColorizationGuider(ModelMixin, ConfigMixin):
    """Body of the base U-Net without cross-attention, one zero-initialised 1 x 1 convolution at every tap point.

    The constructor's names are those of the released ``config.json``; its further entries are ignored by
    `from_config`. Defaults are Stable Diffusion v1.5's.

    Args:
        in_channels: Channels of the noisy latents.
        conditioning_channels: Latents + mask (5), or latents of the references, mask, latents of the query (9).
        block_out_channels: Width of each level.
        down_block_types: ``SelfAttnDownBlock2D`` or ``DownBlock2D`` for each level.
        up_block_types: ``SelfAttnUpBlock2D`` or ``UpBlock2D`` for each level, lowest first.
        layers_per_block: Resnets in a down block.
        attention_head_dim: Number of attention heads (diffusers' historic name).
        norm_num_groups: Groups of every GroupNorm.
        tone_octaves: n of `colorflow.models.conditioning.tone_code`: the condition ends with 2 n channels of it.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        conditioning_channels: int = 5,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        down_block_types: Sequence[str] = SELF_ATTENTION_DOWN,
        up_block_types: Sequence[str] = SELF_ATTENTION_UP,
        layers_per_block: int = 2,
        attention_head_dim: int = 8,
        norm_num_groups: int = 32,
        tone_octaves: int = 0,
    ) -> None:
        super().__init__()
        body = UNet2DConditionModel(
            in_channels=in_channels + conditioning_channels + 2 * tone_octaves,
            block_out_channels=tuple(block_out_channels),
            down_block_types=tuple(name.replace("SelfAttn", "CrossAttn") for name in down_block_types),
            up_block_types=tuple(name.replace("SelfAttn", "CrossAttn") for name in up_block_types),
            layers_per_block=layers_per_block,
            attention_head_dim=attention_head_dim,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=norm_num_groups,  # of the cross-attention that is dropped next; null is rejected
        )
        for module in body.modules():
            if getattr(module, "attn2", None) is not None:
                module.attn2 = module.norm2 = None
        self.conv_in_condition = body.conv_in
        self.time_proj = body.time_proj
        self.time_embedding = body.time_embedding
        self.down_blocks, self.mid_block, self.up_blocks = body.down_blocks, body.mid_block, body.up_blocks
        down, middle, up = tap_widths(self, self.conv_in_condition.out_channels)
        self.brushnet_down_blocks = nn.ModuleList(map(_tap, down))
        self.brushnet_mid_block = _tap(middle)
        self.brushnet_up_blocks = nn.ModuleList(map(_tap, up))

    @property
    def conditioning_channels(self) -> int:
        """Channels of the condition without its tones, under the name that all guiders share."""
        return int(self.config.conditioning_channels)

    @property
    def tone_octaves(self) -> int:
        """See the class."""
        return int(self.config.tone_octaves)

    @classmethod
    def from_unet(
        cls, unet: UNet2DConditionModel, conditioning_channels: int = 5, tone_octaves: int = 0
    ) -> ColorizationGuider:
        """Start from a base U-Net; see `start_as_copy`.

        Args:
            unet: Base U-Net, before LoRA layers are injected.
            conditioning_channels: See the class.
            tone_octaves: See the class. Channels of the tones start small and at random, as there is nothing to copy.

        Raises:
            ValueError: If the U-Net has LoRA layers, lacks a tensor that the guider needs, or is of another kind.
        """
        config = unet.config
        kind = config.use_linear_projection, config.flip_sin_to_cos, config.freq_shift, config.addition_embed_type
        if tuple(map(bool, kind)) != (False, True, False, False):
            raise ValueError(
                "the guider is a copy of a Stable Diffusion v1.5-like U-Net; expected use_linear_projection=False, "
                "flip_sin_to_cos=True, freq_shift=0 and no addition_embed_type, got another configuration"
            )
        given = {name: config[name] for name in inspect.signature(cls.__init__).parameters if name in config}
        for name in ("down_block_types", "up_block_types"):
            given[name] = [block.replace("CrossAttn", "SelfAttn") for block in config[name]]
        guider = cls(**given, conditioning_channels=conditioning_channels, tone_octaves=tone_octaves)
        start_as_copy(guider, unet, "brushnet_", ("conv_in_condition", "conv_in"), 2 * tone_octaves)
        return guider

    def forward(
        self, noisy_latents: Tensor, timesteps: Tensor, condition: Tensor, conditioning_scale: float = 1.0
    ) -> tuple[Tensor, ...]:
        """Residuals for every tap point of the base U-Net.

        Args:
            noisy_latents: ``(B, in_channels, h, w)``.
            timesteps: ``(B,)`` or scalar integers.
            condition: ``(B, conditioning_channels + 2 tone_octaves, h, w)``.
            conditioning_scale: Factor on every residual.

        Returns:
            Down, middle and up residuals in the order of the walk (12 + 1 + 15 for SD1.5).
        """
        expected = self.conditioning_channels + 2 * self.tone_octaves
        if condition.shape[1] != expected:
            raise ValueError(f"condition has {condition.shape[1]} channels, this guider expects {expected}")
        taps = iter([*self.brushnet_down_blocks, self.brushnet_mid_block, *self.brushnet_up_blocks])
        residuals: list[Tensor] = []

        def tap(hidden: Tensor) -> Tensor:
            residuals.append(next(taps)(hidden) * conditioning_scale)
            return hidden

        sample = torch.cat([noisy_latents, condition], dim=1)
        temb = embed_timesteps(self, timesteps, sample)
        run_trunk(self, self.conv_in_condition(sample), temb, None, tap)
        return tuple(residuals)


def _tap(channels: int) -> nn.Module:
    return zero_module(nn.Conv2d(channels, channels, kernel_size=1))
