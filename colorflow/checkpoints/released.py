"""A released folder (``GraySD``, ``sketch``, ``shading``) to an export folder of ours."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from diffusers import DDPMScheduler
from peft import LoraConfig

from colorflow import __version__
from colorflow.checkpoints.fusion import fusion_config, fusion_widths
from colorflow.checkpoints.parts import (
    DIFFUSERS_NAMES,
    Parts,
    first_of,
    layouts,
    new_folder,
    read_json,
    save_tensors,
)
from colorflow.models.layout import Layout
from colorflow.utils.files import write_json_atomic
from colorflow.utils.tensors import CheckpointError, refuse

PAGE_SIZE = (512, 800)
"""One of the released demo's three page sizes; the paper's (Table 3)."""

GSRP_FILE = "MultiResNetModel.bin"
ENCODER = "image_encoder"


def import_released(
    source: Path, target: Path, *, base: str | None = None, gsrp: bool = True, image_encoder: Path | None = None
) -> Parts:
    """Write an export folder of a released one.

    Args:
        source: Folder with ``config.json``, guider weights, LoRA and super-resolution.
        target: New export folder.
        base: Hub id or folder of the base model; default: the released one.
        gsrp: Whether super-resolution is expected and imported.
        image_encoder: The released ``image_encoder``; default: the one in or beside ``source``, if there is one.

    Returns:
        What was read.

    Raises:
        CheckpointError: One list of everything that is missing, unexpected or misshapen; nothing is written then.
    """
    parts = read_released(source, gsrp=gsrp, image_encoder=image_encoder)
    refuse(parts.problems, f"{source}: nothing was imported; fetch the files named above again")
    with new_folder(target) as fresh:
        _write(parts, fresh, base or parts.layout.base)
    return parts


def read_released(source: Path, *, gsrp: bool = True, image_encoder: Path | None = None) -> Parts:
    """Read and compare a released folder; see `import_released`. Differences are in ``problems``."""
    config_file = source / "config.json"
    config = read_json(config_file, "a released folder such as GraySD, sketch or shading")
    family, layout = _layout(source, config)
    parts = Parts(family, layout, config)
    for name, expected in layout.fixed.items():
        if name in config and config[name] != expected:
            parts.problems.append(f"{config_file}: {name}: expected {expected!r}, got {config[name]!r}")
    parts.read_guider(first_of(source, DIFFUSERS_NAMES), config_file)
    parts.read_lora(source / layout.lora_file)
    if gsrp:
        parts.read_gsrp(source / GSRP_FILE)
    places = [image_encoder] if image_encoder else [source / ENCODER, source.resolve().parent / ENCODER]
    found = [place for place in places if place.is_dir()]
    if found:
        parts.read_image_encoder(found[0])
    elif image_encoder:
        parts.problems.append(f"{image_encoder}: expected a folder, found none")
    return parts


def _layout(source: Path, config: dict[str, Any]) -> tuple[str, Layout]:
    """The family and its layout: by the configuration's class, else by the name of the LoRA file."""
    name, known = config.get("_class_name"), layouts()
    if name is not None:
        found = [(family, layout) for family, layout in known.items() if layout.released_class == name]
        classes = " or ".join(layout.released_class for layout in known.values())
        message = f"{source / 'config.json'}: expected the _class_name {classes}, got {name!r}"
    else:
        found = [(family, layout) for family, layout in known.items() if (source / layout.lora_file).is_file()]
        files = " or ".join(layout.lora_file for layout in known.values())
        message = f"{source}: expected a _class_name in config.json, or one of {files}; found neither"
    if len(found) != 1:
        raise CheckpointError(message)
    return found[0]


def _write(parts: Parts, folder: Path, base: str) -> None:
    layout = parts.layout
    names = (*layout.settings, layout.channels)
    config = {"_class_name": layout.guider_class.__name__} | {name: parts.config[name] for name in names}
    (folder / "guider").mkdir()
    write_json_atomic(config, folder / "guider" / "config.json")
    save_tensors(parts.guider, folder / "guider" / DIFFUSERS_NAMES[0])
    # The released loader injects adapters with lora_alpha equal to the rank: scale 1 (released code 3.5 and 4).
    lora = LoraConfig(
        r=parts.rank, lora_alpha=parts.rank, target_modules=list(layout.targets), init_lora_weights="gaussian"
    )
    lora.save_pretrained(str(folder / "lora"))
    save_tensors(parts.lora, folder / "lora" / "adapter_model.safetensors")
    DDPMScheduler(**layout.schedule).save_pretrained(folder / "scheduler")
    if parts.gsrp is not None:
        save_tensors(parts.gsrp, folder / "gsrp" / DIFFUSERS_NAMES[0])
        write_json_atomic(fusion_config(fusion_widths(parts.gsrp)), folder / "gsrp" / "config.json")
    if parts.image_encoder is not None:
        shutil.copytree(parts.image_encoder, folder / ENCODER)
    index = {
        "_class_name": "ColorFlowPipeline",
        "_colorflow_version": __version__,
        "family": parts.family,
        "base": {"source": base, "revision": None, "prompt": "manga"},
        "page_size": list(PAGE_SIZE),
        "retrieval": {"kind": "clip", "folder": None if parts.image_encoder is None else ENCODER},
    }
    write_json_atomic(index, folder / "model_index.json")
