"""Model families by configuration: where a base comes from, and how big it is when built without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from colorflow.models.base import PROMPT, BaseModel, load_base, random_base
from colorflow.models.fusion import NormMode, UpsampleMode
from colorflow.models.gsrp import GSRPModel
from colorflow.models.icp_model import ICPModel, LoraSettings

Dtype = Literal["float32", "bfloat16", "float16"]


def build_base(
    weights: str,
    pretrained: str,
    random: Mapping[str, Any],
    revision: str | None = None,
    prompt: str = PROMPT,
    dtype: Dtype = "float32",
) -> BaseModel:
    """The frozen base of a family.

    Args:
        weights: ``pretrained``, ``random``, or a folder or hub id to load instead of ``pretrained``.
        pretrained: The family's own hub id or folder.
        random: Arguments of `random_base`: configurations of ``vae``, ``unet`` and ``scheduler``.
        revision: Hub revision of ``pretrained``.
        prompt: The fixed prompt.
        dtype: What the frozen networks are kept in.
    """
    kept = getattr(torch, dtype)
    if weights == "random":
        base = random_base(**random)
        return base if kept == torch.float32 else replace(base, vae=base.vae.to(kept), unet=base.unet.to(kept))
    if weights == "pretrained":
        return load_base(pretrained, revision, prompt, kept)
    return load_base(weights, None, prompt, kept)


def build_icp_model(
    base: BaseModel,
    lora: LoraSettings,
    conditioning_channels: int = 5,
    gradient_checkpointing: Sequence[Literal["guider", "unet"]] = (),
) -> ICPModel:
    """A colorizer to train: guider copied from the base, fresh LoRA.

    Args:
        base: Frozen base.
        lora: LoRA settings.
        conditioning_channels: 5 or 9 for four latent channels.
        gradient_checkpointing: Networks whose activations are recomputed in the backward pass.

    Raises:
        ValueError: For a network name that is neither ``guider`` nor ``unet``.
    """
    model = ICPModel.from_base(base, lora, conditioning_channels)
    networks = {"guider": model.guider, "unet": model.unet}
    for name in gradient_checkpointing:
        if name not in networks:
            raise ValueError(f"gradient_checkpointing: expected names among {sorted(networks)}, got {name!r}")
        networks[name].enable_gradient_checkpointing()
    return model


def build_gsrp_model(
    base: BaseModel, norm_mode: NormMode = "batch", upsample_mode: UpsampleMode = "bilinear"
) -> GSRPModel:
    """Guided super-resolution to train: the base's VAE, frozen, and a fresh fusion network; the U-Net is let go of.

    Args:
        base: Base; only its VAE is used.
        norm_mode: See `colorflow.models.fusion.FusionNetwork`.
        upsample_mode: See the same.
    """
    return GSRPModel.from_vae(base.vae, norm_mode, upsample_mode)
