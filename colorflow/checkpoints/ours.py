"""An export folder of ours to the released layout, for the released inference code."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from colorflow.checkpoints.parts import DIFFUSERS_NAMES, Parts, first_of, layouts, new_folder, read_json, save_tensors
from colorflow.checkpoints.released import ENCODER, GSRP_FILE
from colorflow.utils.files import write_json_atomic
from colorflow.utils.tensors import CheckpointError, refuse


def export_released(source: Path, target: Path) -> Parts:
    """Write a released folder of an export folder of ours.

    Super-resolution and image encoder are written where the export folder has them. The released loader knows a LoRA
    scale of 1 only, so another scale is multiplied into the B matrices.

    Args:
        source: Export folder.
        target: New folder.

    Returns:
        What was read.

    Raises:
        CheckpointError: One list of everything that is missing, unexpected or misshapen; nothing is written then.
    """
    parts = read_ours(source)
    refuse(parts.problems, f"{source}: nothing was exported; export the run again")
    with new_folder(target) as fresh:
        _write(parts, fresh)
    return parts


def read_ours(source: Path) -> Parts:
    """Read and compare an export folder; see `export_released`. Differences are in ``problems``."""
    config_file = source / "guider" / "config.json"
    config = read_json(config_file, "an export folder with guider/, lora/ and model_index.json")
    named = {layout.guider_class.__name__: (family, layout) for family, layout in layouts().items()}
    name = config.get("_class_name")
    if name not in named:
        raise CheckpointError(f"{config_file}: expected a _class_name among {sorted(named)}, got {name!r}")
    adapter_file = source / "lora" / "adapter_config.json"
    adapter = read_json(adapter_file, "peft's adapter configuration")
    parts = Parts(*named[name], config)
    parts.read_guider(first_of(source / "guider", DIFFUSERS_NAMES), config_file)
    if parts.guider:
        parts.problems += [f"{config_file}: {reason}" for reason in parts.layout.unfit(config)]
    parts.read_lora(source / "lora" / "adapter_model.safetensors")
    if adapter.get("r") != parts.rank and parts.lora:
        parts.problems.append(f"{adapter_file}: r: expected {parts.rank} of the weights, got {adapter.get('r')!r}")
    scale = adapter.get("lora_alpha", 0) / parts.rank
    if scale != 1:
        parts.lora = {key: value * scale if ".lora_B." in key else value for key, value in parts.lora.items()}
    if (source / "gsrp").is_dir():
        parts.read_gsrp(first_of(source / "gsrp", DIFFUSERS_NAMES))
    if (source / ENCODER).is_dir():
        parts.read_image_encoder(source / ENCODER)
    return parts


def _write(parts: Parts, folder: Path) -> None:
    layout, config = parts.layout, parts.config
    text, answer = layout.text_and_answer(config, parts.lora)
    given = {name: config[name] for name in (*layout.settings, layout.channels)}
    released = {"_class_name": layout.released_class} | given | layout.text_settings(config, text, answer)
    write_json_atomic(released | layout.released["fixed"] | layout.released["idle"], folder / "config.json")
    aliases = {alias: parts.guider[name] for alias, name in layout.aliases(config).items()}
    if aliases:  # the released loader asks for them, and safetensors refuses two names for one tensor
        torch.save(parts.guider | aliases, folder / DIFFUSERS_NAMES[1])
    else:
        save_tensors(parts.guider, folder / DIFFUSERS_NAMES[0])
    # Peft's names inside a model with the adapter "default".
    lora = {key.removesuffix(".weight") + ".default.weight": value for key, value in parts.lora.items()}
    torch.save(lora, folder / layout.lora_file)
    if parts.gsrp is not None:
        torch.save(parts.gsrp, folder / GSRP_FILE)
    if parts.image_encoder is not None:
        shutil.copytree(parts.image_encoder, folder / ENCODER)
