"""Tiny folders in the released layout, and ways to change their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from colorflow.checkpoints.parts import fusion
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.lora import TARGET_MODULES
from tiny.models import PIXART_TARGETS, SD_UNET, tiny_base, tiny_model, tiny_pixart_base, tiny_pixart_model

Tensors = dict[str, Tensor]

SAFE, BIN = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"
GSRP = "MultiResNetModel.bin"
LORA_FILE = {"sd": "unet_lora.bin", "pixart": "transformer_lora.bin"}
CLASS = {"sd": "ColorGuiderSDModel", "pixart": "ColorGuiderPixArtModel"}
WIDTHS = [4, 4, 8, 16, 16]
"""The proportions of Stable Diffusion's VAE, so that the same levels have shortcuts."""


def tiny(family: str, channels: int) -> ICPModel:
    lora = LoraSettings(2, 2, TARGET_MODULES if family == "sd" else PIXART_TARGETS)  # released: scale 1
    if family == "sd":
        return tiny_model(channels, base=tiny_base(SD_UNET), lora=lora).eval()
    return tiny_pixart_model(channels, base=tiny_pixart_base(), lora=lora).eval()


def fusion_tensors() -> Tensors:
    source = torch.Generator().manual_seed(3)
    found = {key: torch.rand(shape, generator=source) for key, shape in fusion(WIDTHS).items()}
    return {key: torch.tensor(7) if key.endswith("num_batches_tracked") else value for key, value in found.items()}


def write_released(model: ICPModel, family: str, folder: Path) -> None:
    """The released layout written by hand, from a model's own state."""
    folder.mkdir(parents=True)
    names = {"cross_attention_dim": 8} if family == "sd" else {"caption_channels": 8, "out_channels": 8}
    config = {key: value for key, value in model.guider.config.items() if not key.startswith("_")}
    config.pop("tone_octaves", None)  # ours alone
    (folder / "config.json").write_text(json.dumps(config | names | {"_class_name": CLASS[family]}))
    guider = dict(model.guider.state_dict())
    if family == "pixart":
        last = len(model.guider.adapter_linear) - 1
        guider |= {f"after_proj.{kind}": guider[f"adapter_linear.{last}.{kind}"] for kind in ("weight", "bias")}
        torch.save(guider, folder / BIN)
    else:
        save_file(guider, folder / SAFE)
    lora = {key: value for key, value in model.network.state_dict().items() if "lora_" in key}
    torch.save(lora, folder / LORA_FILE[family])
    torch.save(fusion_tensors(), folder / GSRP)


def assert_equal(ours: Tensors, theirs: Tensors) -> None:
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert ours[key].dtype == theirs[key].dtype
        assert torch.equal(ours[key], theirs[key]), key


def rewrite(file: Path, change: Callable[[Tensors], Tensors | None]) -> None:
    tensors = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
    changed = change(tensors)
    tensors = tensors if changed is None else changed
    save_file(tensors, file) if file.suffix == ".safetensors" else torch.save(tensors, file)


def edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def last_weight(tensors: Tensors) -> str:
    return max(key for key, value in tensors.items() if value.ndim > 1)


def drop_last(tensors: Tensors) -> None:
    del tensors[last_weight(tensors)]
