"""Weight files of ported systems, in full size and in the published layouts, filled by the rule of the parity tests."""

from __future__ import annotations

from pathlib import Path

import torch
from parity.filling import baseline_state, override

from colorflow.baselines.acdo.unet import AcdoUNet
from colorflow.baselines.ebmc import EbmcNetworks
from colorflow.baselines.mcv2.denoiser import Denoiser
from colorflow.baselines.mcv2.generator import Generator
from colorflow.baselines.screenvae import ScreenToColor

MCV2_FILES = ("generator.zip", "net_rgb.pth")


def write_mcv2(folder: Path) -> tuple[Path, Path]:
    """Write the generator's and the denoiser's file."""
    weights, denoiser = (folder / name for name in MCV2_FILES)
    keep_small = [{"key": "*conv_expand.weight", "op": "mul", "value": 0.2}]
    torch.save(override(baseline_state(Generator(), "tiny"), keep_small), weights)
    faint = [{"key": "*.32.weight", "op": "mul", "value": 0.05}]
    state = override(baseline_state(Denoiser(), "tiny"), faint)
    torch.save({f"module.{key}": value for key, value in state.items()}, denoiser)
    return weights, denoiser


def write_acdo(file: Path) -> Path:
    """Write a file as ``Learner.save`` does."""
    calm = [{"key": "layers.11.0.weight_v", "op": "mul", "value": 0.2}]
    state = override(baseline_state(AcdoUNet(), "tiny"), calm)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": state, "opt": {"state": {}, "param_groups": [{"lr": 1e-3}]}}, file)
    return file


def write_full_ebmc(file: Path) -> Path:
    """Write a file as EBMC's authors do, the VGG with its classifier inside."""
    networks = EbmcNetworks()
    states = {name: baseline_state(part, "tiny") for name, part in networks.named_children()}
    encoder = states["colorEncoder"]
    for key in encoder:
        if key.startswith("vgg.vgg_feature."):
            encoder[key] = encoder[f"vgg.vgg_model.features.{key.removeprefix('vgg.vgg_feature.')}"]
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(states, file)
    return file


def write_full_screens(root: Path) -> Path:
    """Write the parts of the released ColorFlow folder that the row needs."""
    for name, network in ScreenToColor().files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(baseline_state(network, "tiny"), root / name)
    return root
