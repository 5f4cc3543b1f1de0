"""The files of ``sketch`` and ``shading``, on PixArt-alpha; see `colorflow.models.layout`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import PixArtTransformer2DModel
from torch import Tensor, nn

from colorflow.models.layout import Config, Layout, given
from colorflow.models.pixart.guider import RELEASED_ALIAS, PixArtGuider


class PixArtLayout(Layout):
    """``sketch`` and ``shading``: PixArt-alpha."""

    guider_class, released_class = PixArtGuider, "ColorGuiderPixArtModel"
    lora_file = "transformer_lora.bin"
    channels, input_weight = "cond_channels", "pos_embed.proj.weight"
    targets = (
        *("to_k", "to_q", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
        *("proj", "linear", "linear_1", "linear_2"),
    )
    base = "PixArt-alpha/PixArt-XL-2-1024-MS"
    schedule: ClassVar[dict[str, Any]] = {
        "num_train_timesteps": 1000,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "clip_sample": False,
        "prediction_type": "epsilon",
    }
    fixed: ClassVar[dict[str, Any]] = {
        "attention_bias": True,
        "activation_fn": "gelu-approximate",
        "norm_type": "ada_norm_single",
        "norm_elementwise_affine": False,
        "norm_eps": 1e-6,
        "attention_type": "default",
    }
    idle: ClassVar[dict[str, Any]] = {
        "dropout": 0.0,
        "norm_num_groups": 32,
        "num_embeds_ada_norm": 1000,
        "upcast_attention": False,
    }

    def network(self, config: Config, text_width: int, answer: int) -> nn.Module:
        """A transformer of the guider's configuration."""
        settings = {name: config[name] for name in self.settings}
        width = config["num_attention_heads"] * config["attention_head_dim"]
        with torch.device("meta"):
            return PixArtTransformer2DModel(
                **settings, out_channels=answer, cross_attention_dim=width, caption_channels=text_width
            )

    def aliases(self, config: Config) -> dict[str, str]:
        """The last linear layer is stored a second time."""
        last = config["num_layers"] // 2 - 1
        return {f"{RELEASED_ALIAS}{kind}": f"adapter_linear.{last}.{kind}" for kind in ("weight", "bias")}

    def text_and_answer(self, config: Config, lora: Mapping[str, Tensor]) -> tuple[int, int]:
        """T5's width; epsilon and variance."""
        text = given(config, "caption_channels", lora, "caption_projection.linear_1.lora_A.weight", 1)
        if config.get("out_channels") is not None:
            return text, config["out_channels"]
        return text, given({}, "", lora, "proj_out.lora_B.weight", 0) // config["patch_size"] ** 2

    def text_settings(self, config: Config, text_width: int, answer: int) -> dict[str, Any]:
        """The guider ignores them."""
        width = config["num_attention_heads"] * config["attention_head_dim"]
        return {"cross_attention_dim": width, "out_channels": answer, "caption_channels": text_width}
