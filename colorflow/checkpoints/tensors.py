"""Tensors of released and exported parts; reading and comparing files is ``colorflow.utils.tensors``."""

from __future__ import annotations

import re
from pathlib import Path

from colorflow.utils.tensors import CheckpointError, Shapes, Tensors, differences, read_tensors, refuse, renamed

__all__ = ["CheckpointError", "Shapes", "Tensors", "differences", "plain_lora", "read_tensors", "refuse"]

_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?P<adapter>[^.]+))?\.weight")
_LORA_PREFIXES = ("base_model.model.", "unet.", "transformer.")


def plain_lora(file: Path, tensors: Tensors) -> Tensors:
    """LoRA tensors under peft's adapter-free names, whatever adapter and wrapper they were saved under.

    Raises:
        CheckpointError: If the file holds several adapters.
    """
    names, adapters = {}, set()
    for key in tensors:
        match = _LORA.fullmatch(key)
        if match is None:
            names[key] = key  # named as unexpected by the comparison
            continue
        module = match["module"]
        for prefix in _LORA_PREFIXES:
            module = module.removeprefix(prefix)
        adapters.add(match["adapter"])
        names[key] = f"{module}.lora_{match['side']}.weight"
    if len(adapters) > 1:
        listed = ", ".join(sorted(str(adapter) for adapter in adapters))
        raise CheckpointError(f"{file}: expected the tensors of one adapter, got {len(adapters)}: {listed}; keep one")
    return renamed(file, names, tensors)
