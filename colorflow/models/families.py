"""Model families by configuration: where a base comes from, and how big it is when built without weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch

from colorflow.models.base import PROMPT, Base, BaseModel, load_base, random_base
from colorflow.models.compile import compile_blocks
from colorflow.models.gsrp.fusion import NormMode, UpsampleMode
from colorflow.models.gsrp.model import GSRPModel
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.pixart.base import PixArtBase, random_pixart_base

Dtype = Literal["float32", "bfloat16", "float16"]
Network = Literal["unet", "transformer"]

KINDS: dict[str, type[Base]] = {kind.denoiser_class.part: kind for kind in (BaseModel, PixArtBase)}
"""Bases by the name of their network."""

_RANDOM: dict[str, Callable[..., Base]] = {"unet": random_base, "transformer": random_pixart_base}


def build_base(
    weights: str,
    pretrained: str,
    random: Mapping[str, Any],
    revision: str | None = None,
    prompt: str = PROMPT,
    dtype: Dtype = "float32",
    network: Network = "unet",
) -> Base:
    """The frozen base of a family.

    Args:
        weights: ``pretrained``, ``random``, or a folder or hub id to load instead of ``pretrained``.
        pretrained: The family's own hub id or folder.
        random: Arguments of `random_base` or `random_pixart_base`: configurations of ``vae``, the network and
            ``scheduler``.
        revision: Hub revision of ``pretrained``.
        prompt: The fixed prompt.
        dtype: What the frozen networks are kept in.
        network: ``unet`` (Stable Diffusion, toon) or ``transformer`` (PixArt-alpha).
    """
    kept, kind = getattr(torch, dtype), KINDS[network]
    if weights == "random":
        return _RANDOM[network](**random).to(kept)
    if weights == "pretrained":
        return load_base(pretrained, revision, prompt, kept, kind)
    return load_base(weights, None, prompt, kept, kind)


def build_icp_model(
    base: Base,
    lora: LoraSettings,
    conditioning_channels: int = 5,
    tone_octaves: int = 0,
    gradient_checkpointing: Sequence[Literal["guider", "unet", "transformer"]] = (),
    channels_last: bool = False,
    compiled: Sequence[str] = (),
) -> ICPModel:
    """A colorizer to train: guider copied from the base, fresh LoRA.

    Args:
        base: Frozen base.
        lora: LoRA settings.
        conditioning_channels: 5 or 9 for four latent channels.
        tone_octaves: n of `colorflow.models.conditioning.tone_code`: gray values told finely, for small networks.
        gradient_checkpointing: Networks whose activations are recomputed in the backward pass.
        channels_last: Keep convolutions in NHWC memory; equal up to rounding.
        compiled: Classes of blocks of guider and base network that ``torch.compile`` compiles; equal up to rounding,
            and the first step waits for it.

    Raises:
        ValueError: For a name that is neither ``guider`` nor the base network's, or no block's class.
    """
    model = ICPModel.from_base(base, lora, conditioning_channels, tone_octaves)
    networks = {"guider": model.guider, model.denoiser.part: model.network}
    for name in gradient_checkpointing:
        if name not in networks:
            raise ValueError(f"gradient_checkpointing: expected names among {sorted(networks)}, got {name!r}")
        networks[name].enable_gradient_checkpointing()
    if channels_last:
        model.to(memory_format=torch.channels_last)
    if compiled:
        for net in networks.values():
            compile_blocks(net, compiled)
    return model


def build_gsrp_model(
    base: BaseModel, norm_mode: NormMode = "batch", upsample_mode: UpsampleMode = "bilinear"
) -> GSRPModel:
    """Guided super-resolution to train: the base's VAE, frozen, and a fresh fusion network; the U-Net is let go of.

    Args:
        base: Base; only its VAE is used.
        norm_mode: See `colorflow.models.gsrp.fusion.FusionNetwork`.
        upsample_mode: See the same.
    """
    return GSRPModel.from_vae(base.vae, norm_mode, upsample_mode)
