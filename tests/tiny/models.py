"""Tiny models for tests: the structure of the families ``toon`` and ``sd15``, random weights, no download."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from colorflow.config import compose_config, to_dict
from colorflow.models.base import Base, random_base
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.pixart import FAMILY as PIXART
from colorflow.models.sd import FAMILY as SD
from colorflow.pipelines.icp import ICPPipeline

PAGE_SIZE = (32, 48)
"""Page size (W, H) that suits the tiny VAE: the canvas is 64 x 96, its latents 8 x 12 pixels."""

FACTOR = 8
"""Pixels a latent; as SD's."""

LORA = LoraSettings(r=2, lora_alpha=4)
"""Scale 2, so that a forgotten ``lora_alpha`` shows."""

SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "prediction_type": "epsilon",
}

VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [4, 4, 8, 8],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "sample_size": 32,
    "scaling_factor": 0.5,
}

UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
    "block_out_channels": [8, 8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
}
"""Three levels, attention at the lowest only: the toon family, smaller."""

SD_UNET = UNET | {
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": [8, 12, 16, 16],
    "layers_per_block": 2,
}
"""Four levels, two resnets each: every tap point, LoRA module and key of Stable Diffusion v1.5."""


TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 6,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 5,
    "cross_attention_dim": 12,
    "sample_size": 16,
    "patch_size": 2,
    "caption_channels": 8,
    "use_additional_conditions": True,
}
"""PixArt-alpha, tiny; an odd number of blocks tells half from half."""

PIXART_TARGETS = (
    *("to_k", "to_q", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("proj", "linear", "linear_1", "linear_2"),
)
"""LoRA targets of the released sketch models (released code 4)."""

PIXART_LORA = LoraSettings(r=2, lora_alpha=4, target_modules=PIXART_TARGETS)


def tiny_pixart_base(seed: int = 0, **transformer: Any) -> Base:
    """A PixArt base of some 20,000 parameters; equal seeds give equal weights."""
    scheduler = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
    parts = {"vae": VAE, "transformer": TRANSFORMER | transformer, "scheduler": scheduler}
    return random_base(PIXART, parts | {"tokens": 6, "seed": seed})


def tiny_pixart_model(
    conditioning_channels: int = 9,
    trained: bool = True,
    base: Base | None = None,
    lora: LoraSettings = PIXART_LORA,
) -> ICPModel:
    """As `tiny_model`, of the PixArt-alpha family."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = ICPModel.from_base(base or tiny_pixart_base(), lora, conditioning_channels)
    if trained:
        randomize(model.guider, "adapter_linear")
        randomize(model.guider, "pos_embed.proj.weight")
        randomize(model.transformer, "lora_B")
    return model


def tiny_base(unet: dict | None = None, prediction_type: str = "epsilon", seed: int = 0) -> Base:
    """A base of about 60,000 parameters; equal seeds give equal weights."""
    scheduler = SCHEDULER | {"prediction_type": prediction_type}
    parts = {"vae": VAE, "unet": UNET if unet is None else unet, "scheduler": scheduler}
    return random_base(SD, parts | {"tokens": 3, "seed": seed})


def randomize(module: nn.Module, pattern: str, scale: float = 0.3, seed: int = 5) -> None:
    """Fill the parameters whose name holds ``pattern``: zero-initialised ones would hide most mistakes."""
    source = torch.Generator().manual_seed(seed)
    found = [parameter for name, parameter in module.named_parameters() if pattern in name]
    assert found, f"no parameter holds {pattern!r}"
    with torch.no_grad():
        for parameter in found:
            parameter.copy_(scale * torch.randn(parameter.shape, generator=source))


def tiny_model(
    conditioning_channels: int = 5, trained: bool = True, base: Base | None = None, lora: LoraSettings = LORA
) -> ICPModel:
    """A colorizer; ``trained`` fills guider taps, its input and LoRA B, which start (partly) at zero, with noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = ICPModel.from_base(base or tiny_base(), lora, conditioning_channels)
    if trained:
        randomize(model.guider, "brushnet_")
        randomize(model.guider, "conv_in_condition.weight")
        randomize(model.unet, "lora_B")
    return model


def tiny_pipeline(model: ICPModel | None = None) -> ICPPipeline:
    """The inference pipeline of a model (default: `tiny_model`), without a progress bar."""
    pipeline = ICPPipeline((model or tiny_model()).eval())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal, always the same for a seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(batch: int = 2, channels: int = 5, size: tuple[int, int] = (8, 8)) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents ``(B, 4, h, w)``, timesteps ``(B,)`` and condition ``(B, channels, h, w)``."""
    timesteps = torch.arange(batch) * 250 + 111
    return noise(batch, 4, *size, seed=1), timesteps, noise(batch, channels, *size, seed=2)


@functools.cache
def sd15_config() -> dict[str, Any]:
    """The ``model`` group of the paper's experiment, as Hydra composes it."""
    overrides = ["experiment=icp_lora64", "weights=random", "data.root=unused"]
    return to_dict(compose_config("train", overrides).model)


@functools.cache
def sd15_on_meta(conditioning_channels: int = 5) -> ICPModel:
    """The full-size model of the paper's experiment without memory: shapes, keys and FLOPs only."""
    config = sd15_config()
    settings = {key: value for key, value in config["lora"].items() if key != "_target_"}
    with torch.device("meta"):
        base = random_base(SD, config["base"]["random"])
        return ICPModel.from_base(base, LoraSettings(**settings), conditioning_channels)


@functools.cache
def pixart_config() -> dict[str, Any]:
    """The ``model`` group of the PixArt-alpha experiment, as Hydra composes it."""
    overrides = ["experiment=icp_pixart_lora128", "weights=random", "data.root=unused"]
    return to_dict(compose_config("train", overrides).model)


@functools.cache
def pixart_on_meta(conditioning_channels: int = 9) -> ICPModel:
    """The full-size PixArt-alpha model without memory, as its configuration builds it."""
    config = pixart_config()
    settings = {key: value for key, value in config["lora"].items() if key != "_target_"}
    with torch.device("meta"):
        base = random_base(PIXART, config["base"]["random"])
        return ICPModel.from_base(base, LoraSettings(**settings), conditioning_channels)


def released_keys(name: str, file: str = "colorflow.json") -> Any:
    """An entry of the released checkpoints' key lists, which lie outside this repository."""
    default = Path(__file__).resolve().parents[3] / "shared" / "fixtures"
    path = Path(os.environ.get("COLORFLOW_FIXTURES") or default).parent / "spec" / "keys" / file
    if not path.is_file():
        pytest.skip(f"no key lists of the released checkpoints: {path} does not exist")
    return json.loads(path.read_text())[name]


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Shape of every tensor, as the key lists write them."""
    return {key: list(value.shape) for key, value in tensors.items()}
