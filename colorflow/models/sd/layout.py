"""The files of ``GraySD``, on Stable Diffusion v1.5; see `colorflow.models.layout`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from colorflow.models.layout import Config, Layout, given
from colorflow.models.sd.guider import ColorizationGuider


class SDLayout(Layout):
    """``GraySD``: Stable Diffusion v1.5."""

    guider_class, released_class = ColorizationGuider, "ColorGuiderSDModel"
    lora_file = "unet_lora.bin"
    channels, input_weight = "conditioning_channels", "conv_in_condition.weight"
    targets = ("to_k", "to_q", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
    base = "stable-diffusion-v1-5/stable-diffusion-v1-5"

    def network(self, config: Config, text_width: int, answer: int) -> nn.Module:
        """A U-Net; of the guider's configuration with cross-attention where that has self-attention alone."""
        settings = {name: config[name] for name in self.settings if not name.endswith("_types")}
        for name in ("down_block_types", "up_block_types"):
            settings[name] = tuple(kind.replace("SelfAttn", "CrossAttn") for kind in config[name])
        with torch.device("meta"):
            return UNet2DConditionModel(**settings, out_channels=answer, cross_attention_dim=text_width)

    def unfit(self, config: Config) -> list[str]:
        """The released classes know four levels, four latent channels (3.1 and 3.6) and no tones; toon has others."""
        levels, latents = len(config["block_out_channels"]), config["in_channels"]
        tones = ["the released code knows no tone_octaves"] if config.get("tone_octaves") else []
        if (levels, latents) == (4, 4):
            return tones
        return [
            *tones,
            f"the released code knows 4 levels and 4 latent channels alone, this guider has {levels} and {latents}",
        ]

    def text_and_answer(self, config: Config, lora: Mapping[str, Tensor]) -> tuple[int, int]:
        """The answer has the latents' channels."""
        return given(config, "cross_attention_dim", lora, ".attn2.to_k.lora_A.weight", 1), config["in_channels"]

    def text_settings(self, config: Config, text_width: int, answer: int) -> dict[str, Any]:
        """The guider ignores them."""
        return {"cross_attention_dim": text_width}
