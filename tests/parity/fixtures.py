"""Finding and reading the numeric fixtures: any number a kind, every size from the json.

They lie under ``$COLORFLOW_FIXTURES/colorflow`` (default ``<repository>/../shared/fixtures``):
``<letter>_<kind>*.json`` beside a ``.safetensors`` of the same name, weights in shared files that the json names. Those
under ``baselines`` are ``<kind>*.npz`` with one ``<index>_index.json`` for several, weights by `parity.filling`.
"""

import json
import os
from pathlib import Path
from typing import Any

import PIL
import pytest
from PIL import Image
from safetensors.torch import load_file
from tiny.models import shapes
from torch import Tensor, nn

_DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "fixtures"


def folder(group: str = "colorflow") -> Path:
    """Where the fixtures of a group lie, whether or not they exist."""
    return Path(os.environ.get("COLORFLOW_FIXTURES") or _DEFAULT) / group


def find(kind: str, group: str = "colorflow") -> list[Path]:
    """Json paths of a kind: ``a_stitch`` finds ``a_stitch*.json`` (other wildcards may be inside)."""
    return sorted(path for path in folder(group).glob(f"{kind}*.json") if path.with_suffix(".safetensors").is_file())


def cases(kind: str, group: str = "colorflow") -> list[Any]:
    """Parameters for ``pytest.mark.parametrize``: a path each, or one that is skipped and says why."""
    paths = find(kind, group)
    return _parameters(paths, f"{kind}*.json", group)


def npz_cases(pattern: str, group: str = "baselines") -> list[Any]:
    """The same for the ``.npz`` fixtures whose names match a pattern: ``screen_*`` (no suffix)."""
    return _parameters(sorted(folder(group).glob(f"{pattern}.npz")), f"{pattern}.npz", group)


def npz_index(path: Path, name: str) -> dict[str, Any]:
    """The index of a kind, ``<name>_index.json`` beside the fixture."""
    return json.loads((path.parent / f"{name}_index.json").read_text())


def _parameters(paths: list[Path], what: str, group: str) -> list[Any]:
    if paths:
        return [pytest.param(path, id=path.stem) for path in paths]
    place = folder(group)
    why = f"no fixture {what} in {place}" if place.is_dir() else f"no fixtures: {place} does not exist"
    return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=f"{why} (set COLORFLOW_FIXTURES)"))]


def load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fixture's config and its tensors, weight files merged in (their keys are ``<part>.<key>``)."""
    config = json.loads(path.read_text())
    tensors = load_file(path.with_suffix(".safetensors"))
    for name in config["weights"].values():
        tensors.update(load_file(path.parent / name))
    return config, tensors


def picture(tensor: Tensor) -> Image.Image:
    """Of ``(H, W)`` or ``(H, W, 3)`` uint8."""
    return Image.fromarray(tensor.numpy())


def assert_official(network: nn.Module, entry: dict[str, Any]) -> None:
    """A network has the keys, shapes and number of parameters of an official one."""
    assert shapes(network.state_dict()) == entry["state_dict"]
    assert sum(parameter.numel() for parameter in network.parameters()) == entry["params"]


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose keys start with ``prefix``, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def pillow_levels(levels: int) -> int:
    """Allowed difference where Pillow's bicubic changed: none from 13.0 on, ``levels`` before."""
    return 0 if int(PIL.__version__.split(".")[0]) >= 13 else levels
