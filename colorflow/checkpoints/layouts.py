"""What a checkpoint of each family holds, derived from its configuration: names and shapes of every tensor.

Derived from diffusers' own classes on the meta device, apart from `colorflow.models`, so that neither can be
wrong without the other noticing (released code 3.2, 3.5 and 4).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import PixArtTransformer2DModel, UNet2DConditionModel
from torch import Tensor, nn

from colorflow.checkpoints.tensors import Shapes

Config = Mapping[str, Any]


class Layout(ABC):
    """One family's files.

    Attributes:
        released_class: ``_class_name`` of the released guider's configuration.
        our_class: Ours.
        lora_file: Name of the released LoRA file.
        channels: Configuration entry of the conditioning channels.
        input_weight: Name of the tensor whose second side tells them.
        targets: Modules that have LoRA.
        base: Hub id of the base model.
        schedule: Configuration of the base's training noise schedule.
        settings: Configuration entries that our guider takes.
        fixed: Entries of the released configuration that must be so; ours knows nothing else.
        idle: Entries of the released configuration without influence.
    """

    released_class: ClassVar[str]
    our_class: ClassVar[str]
    lora_file: ClassVar[str]
    channels: ClassVar[str]
    input_weight: ClassVar[str]
    targets: ClassVar[tuple[str, ...]]
    base: ClassVar[str]
    schedule: ClassVar[dict[str, Any]]
    settings: ClassVar[tuple[str, ...]]
    fixed: ClassVar[dict[str, Any]]
    idle: ClassVar[dict[str, Any]]

    @abstractmethod
    def guider(self, config: Config) -> Shapes:
        """Tensors of our guider."""

    @abstractmethod
    def network(self, config: Config, text_width: int, answer: int) -> nn.Module:
        """The base network on the meta device, from its guider's configuration.

        Args:
            config: Guider configuration.
            text_width: Width of the text embedding.
            answer: Channels of the answer.
        """

    @abstractmethod
    def aliases(self, config: Config) -> dict[str, str]:
        """Released names of tensors that are stored a second time, and of which."""

    @abstractmethod
    def text_and_answer(self, config: Config, lora: Mapping[str, Tensor]) -> tuple[int, int]:
        """Width of the text embedding and channels of the answer: from the configuration, else from the LoRA."""

    def unfit(self, config: Config) -> list[str]:
        """Why the released code could not load a guider of ours; empty where it can."""
        return []

    @abstractmethod
    def text_settings(self, config: Config, text_width: int, answer: int) -> dict[str, Any]:
        """Released configuration entries about text and answer, which our guider does not have."""

    def lora(self, config: Config, tensors: Mapping[str, Tensor], rank: int) -> Shapes:
        """LoRA tensors of the base network."""
        shapes: Shapes = {}
        for name, module in self.network(config, *self.text_and_answer(config, tensors)).named_modules():
            if not any(name == target or name.endswith(f".{target}") for target in self.targets):
                continue
            weight = module.get_parameter("weight")
            outside, inside, *kernel = weight.shape
            shapes[f"{name}.lora_A.weight"] = (rank, inside, *kernel)
            shapes[f"{name}.lora_B.weight"] = (outside, rank, *([1] * len(kernel)))
        return shapes


class SDLayout(Layout):
    """``GraySD``: Stable Diffusion v1.5."""

    released_class, our_class = "ColorGuiderSDModel", "ColorizationGuider"
    lora_file = "unet_lora.bin"
    channels, input_weight = "conditioning_channels", "conv_in_condition.weight"
    targets = ("to_k", "to_q", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
    base = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    schedule: ClassVar[dict[str, Any]] = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "clip_sample": False,
        "prediction_type": "epsilon",
    }
    settings = (
        "in_channels",
        "block_out_channels",
        "down_block_types",
        "up_block_types",
        "layers_per_block",
        "attention_head_dim",
        "norm_num_groups",
    )
    fixed: ClassVar[dict[str, Any]] = {
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "mid_block_type": "UNetMidBlock2DSelfAttn",
        "only_cross_attention": False,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "act_fn": "silu",
        "norm_eps": 1e-5,
        "transformer_layers_per_block": 1,
        "num_attention_heads": None,
        "use_linear_projection": False,
        "class_embed_type": None,
        "addition_embed_type": None,
        "resnet_time_scale_shift": "default",
    }
    idle: ClassVar[dict[str, Any]] = {
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "addition_time_embed_dim": None,
        "num_class_embeds": None,
        "upcast_attention": False,
        "projection_class_embeddings_input_dim": None,
        "brushnet_conditioning_channel_order": "rgb",
        "conditioning_embedding_out_channels": [16, 32, 96, 256],
        "global_pool_conditions": False,
        "addition_embed_type_num_heads": 64,
    }

    def network(self, config: Config, text_width: int, answer: int) -> nn.Module:
        """A U-Net; of the guider's configuration with cross-attention where that has self-attention alone."""
        settings = {name: config[name] for name in self.settings if not name.endswith("_types")}
        for name in ("down_block_types", "up_block_types"):
            settings[name] = tuple(kind.replace("SelfAttn", "CrossAttn") for kind in config[name])
        with torch.device("meta"):
            return UNet2DConditionModel(**settings, out_channels=answer, cross_attention_dim=text_width)

    def guider(self, config: Config) -> Shapes:
        """The U-Net's body without cross-attention and output, and a 1 x 1 convolution at every tap point."""
        inputs = dict(config) | {"in_channels": config["in_channels"] + config[self.channels]}
        net: Any = self.network(inputs, text_width=8, answer=4)
        dropped = ("conv_norm_out.", "conv_out.")
        shapes: Shapes = {}
        for key, value in net.state_dict().items():
            of_text = ".attn2." in key or (".norm2." in key and ".transformer_blocks." in key)
            if not of_text and not key.startswith(dropped):
                shapes[re.sub(r"^conv_in\.", "conv_in_condition.", key)] = tuple(value.shape)
        down = [net.conv_in.out_channels, *_tap_widths(net.down_blocks, "downsamplers")]
        taps = {f"brushnet_down_blocks.{number}": width for number, width in enumerate(down)}
        taps["brushnet_mid_block"] = net.mid_block.resnets[-1].out_channels
        taps |= {
            f"brushnet_up_blocks.{number}": width
            for number, width in enumerate(_tap_widths(net.up_blocks, "upsamplers"))
        }
        for name, width in taps.items():
            shapes |= {f"{name}.weight": (width, width, 1, 1), f"{name}.bias": (width,)}
        return shapes

    def aliases(self, config: Config) -> dict[str, str]:
        """None."""
        return {}

    def unfit(self, config: Config) -> list[str]:
        """The released classes know four levels and four latent channels (3.1 and 3.6); toon has others."""
        levels, latents = len(config["block_out_channels"]), config["in_channels"]
        if (levels, latents) == (4, 4):
            return []
        return [f"the released code knows 4 levels and 4 latent channels alone, this guider has {levels} and {latents}"]

    def text_and_answer(self, config: Config, lora: Mapping[str, Tensor]) -> tuple[int, int]:
        """The answer has the latents' channels."""
        return _given(config, "cross_attention_dim", lora, ".attn2.to_k.lora_A.weight", 1), config["in_channels"]

    def text_settings(self, config: Config, text_width: int, answer: int) -> dict[str, Any]:
        """The guider ignores them."""
        return {"cross_attention_dim": text_width}


class PixArtLayout(Layout):
    """``sketch`` and ``shading``: PixArt-alpha."""

    released_class, our_class = "ColorGuiderPixArtModel", "PixArtGuider"
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
    settings = (
        "num_attention_heads",
        "attention_head_dim",
        "in_channels",
        "num_layers",
        "sample_size",
        "patch_size",
        "interpolation_scale",
        "use_additional_conditions",
    )
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

    def guider(self, config: Config) -> Shapes:
        """Half of the transformer's blocks without cross-attention, and a linear layer after each."""
        inputs = dict(config) | {
            "in_channels": config["in_channels"] + config[self.channels],
            "num_layers": config["num_layers"] // 2,
        }
        unused = ("caption_projection.", "proj_out.", "scale_shift_table")
        shapes = {
            key: tuple(value.shape)
            for key, value in self.network(inputs, text_width=8, answer=8).state_dict().items()
            if not key.startswith(unused) and ".attn2." not in key
        }
        width = config["num_attention_heads"] * config["attention_head_dim"]
        for number in range(inputs["num_layers"]):
            shapes |= {f"adapter_linear.{number}.weight": (width, width), f"adapter_linear.{number}.bias": (width,)}
        return shapes

    def aliases(self, config: Config) -> dict[str, str]:
        """The last linear layer is stored a second time."""
        last = config["num_layers"] // 2 - 1
        return {f"after_proj.{kind}": f"adapter_linear.{last}.{kind}" for kind in ("weight", "bias")}

    def text_and_answer(self, config: Config, lora: Mapping[str, Tensor]) -> tuple[int, int]:
        """T5's width; epsilon and variance."""
        text = _given(config, "caption_channels", lora, "caption_projection.linear_1.lora_A.weight", 1)
        if config.get("out_channels") is not None:
            return text, config["out_channels"]
        return text, _given({}, "", lora, "proj_out.lora_B.weight", 0) // config["patch_size"] ** 2

    def text_settings(self, config: Config, text_width: int, answer: int) -> dict[str, Any]:
        """The guider ignores them."""
        width = config["num_attention_heads"] * config["attention_head_dim"]
        return {"cross_attention_dim": width, "out_channels": answer, "caption_channels": text_width}


LAYOUTS: tuple[Layout, ...] = (SDLayout(), PixArtLayout())


def _tap_widths(blocks: Any, samplers: str) -> list[int]:
    return [module.out_channels for block in blocks for module in (*block.resnets, *(getattr(block, samplers) or ()))]


def _given(config: Config, entry: str, tensors: Mapping[str, Tensor], suffix: str, side: int) -> int:
    """A number of the configuration, or the most frequent one of the tensors that tell it; 1 where none does."""
    if config.get(entry) is not None:
        return int(config[entry])
    told = [tensor.shape[side] for key, tensor in tensors.items() if key.endswith(suffix) and tensor.ndim > side]
    return max(set(told), key=told.count) if told else 1
