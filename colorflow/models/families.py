"""Model families by configuration: where a base comes from, and how big it is when built without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL

from colorflow.models.base import PROMPT, Base, load_base, load_strict, random_base
from colorflow.models.compile import compile_blocks
from colorflow.models.family import Family
from colorflow.models.gsrp.fusion import NormMode, UpsampleMode
from colorflow.models.gsrp.model import GSRPModel
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.utils.registry import find, known

Dtype = Literal["float32", "bfloat16", "float16"]


def find_family(name: str) -> Family:
    """The family of that name.

    Args:
        name: A folder beside this file, such as ``sd``; or, with dots, a module of another package that has ``FAMILY``.

    Raises:
        ValueError: For another name, and for a family that calls itself otherwise: its exports could not be read.
    """
    family: Family = find("family", name, __package__, "FAMILY")
    if family.name != name:
        raise ValueError(f"family: expected FAMILY of {name} to have that name, got {family.name!r}; rename it")
    return family


def known_families() -> list[Family]:
    """The families that come with this package, by name."""
    return [find_family(name) for name in known(__package__, "FAMILY")]


def build_base(
    weights: str,
    pretrained: str,
    random: Mapping[str, Any],
    family: str,
    revision: str | None = None,
    prompt: str = PROMPT,
    dtype: Dtype = "float32",
) -> Base:
    """The frozen base of a family.

    Args:
        weights: ``pretrained``, ``random``, or a folder or hub id to load instead of ``pretrained``.
        pretrained: The family's own hub id or folder.
        random: See `random_base`.
        family: Name of the family, see `find_family`.
        revision: Hub revision of ``pretrained``.
        prompt: The fixed prompt.
        dtype: What the frozen networks are kept in.
    """
    found, kept = find_family(family), getattr(torch, dtype)
    if weights == "random":
        return random_base(found, random).to(kept)
    if weights == "pretrained":
        return load_base(found, pretrained, revision, prompt, kept)
    return load_base(found, weights, None, prompt, kept)


def build_icp_model(
    base: Base,
    lora: LoraSettings,
    conditioning_channels: int = 5,
    gradient_checkpointing: Sequence[str] = (),
    channels_last: bool = False,
    compiled: Sequence[str] = (),
    tone_octaves: int = 0,
) -> ICPModel:
    """A colorizer to train: guider copied from the base, fresh LoRA.

    Args:
        base: Frozen base.
        lora: LoRA settings.
        conditioning_channels: 5 or 9 for four latent channels.
        gradient_checkpointing: Networks whose activations are recomputed in the backward pass: ``guider``, and the
            base's by its family's name for it.
        channels_last: Keep convolutions in NHWC memory; equal up to rounding.
        compiled: Classes of blocks of guider and base network that ``torch.compile`` compiles; equal up to rounding,
            and the first step waits for it.
        tone_octaves: n of `colorflow.models.conditioning.tone_code`: gray values told finely, for small networks.

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
    base: Base, norm_mode: NormMode = "batch", upsample_mode: UpsampleMode = "bilinear", vae: str | None = None
) -> GSRPModel:
    """Guided super-resolution to train: a frozen VAE and a fresh fusion network; the base's network is let go of.

    Args:
        base: Base; only its VAE is used.
        norm_mode: See `colorflow.models.gsrp.fusion.FusionNetwork`.
        upsample_mode: See the same.
        vae: Folder or hub id of an ``AutoencoderKL`` to take instead: of families whose codec has no levels to join.
    """
    own = None if vae is None else load_strict(AutoencoderKL, vae, torch_dtype=base.vae.dtype)
    return GSRPModel.from_vae(own or base.vae, norm_mode, upsample_mode, own is not None)
