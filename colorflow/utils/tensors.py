"""Weight files to plain tensors under plain names, and the comparison that names every difference."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

Tensors = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

_SHOWN = 8
"""How many keys of each kind a message lists."""


class CheckpointError(ValueError):
    """A folder or file that is not what it should be; the message lists every difference that was found."""


class MissingWeightsError(CheckpointError, FileNotFoundError):
    """Weights that are not there; the message says what to fetch or to do without."""


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor made on the CPU to where it is used; a GPU copies from pinned memory beside its other work.

    From other memory the copy waits until all that was asked of the GPU is done.
    """
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def digest_weights(module: nn.Module) -> str:
    """First 16 hex digits of the SHA-256 of a module's state: names, types, shapes and values."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def read_tensors(file: Path) -> Tensors:
    """The tensors of a ``.safetensors`` or pickled file, on the CPU, without ``module.`` prefixes.

    Raises:
        CheckpointError: As `read_content` and `plain_tensors`.
    """
    return plain_tensors(file, read_content(file))


def read_content(file: Path) -> object:
    """What a ``.safetensors`` or pickled file holds, tensors on the CPU.

    Pickles are read with ``weights_only``: a file from elsewhere cannot run code.

    Raises:
        CheckpointError: If it is absent, truncated, of another format, or needs classes.
    """
    if not file.is_file():
        raise CheckpointError(f"{file}: missing; fetch the whole folder")
    try:
        return load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = _pointer(file) or "truncated, damaged, or not a file of tensors alone"
        raise CheckpointError(f"{file}: {reason} ({_first_line(error)}); fetch it again") from error


def plain_tensors(file: Path, content: object) -> Tensors:
    """The tensors of what a file holds, without ``module.`` prefixes.

    Raises:
        CheckpointError: If it is anything but a mapping of names to tensors.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{file}: expected a mapping of names to tensors, got {type(content).__name__}")
    kinds = sorted({type(value).__name__ for value in content.values() if not isinstance(value, Tensor)})
    if kinds or not content:
        found = f"also {', '.join(kinds)}" if kinds else "nothing"
        raise CheckpointError(
            f"{file}: expected a mapping of names to tensors, got {found}; it is another kind of file"
        )
    return renamed(file, {key: key.removeprefix("module.") for key in content}, dict(content))


def read_parts(file: Path, parts: Sequence[str]) -> dict[str, Tensors]:
    """The tensors of several networks in one pickled file, each under its name, as `read_tensors` gives them.

    What else the file holds beside them (the state of an optimizer, say) is not looked at.

    Raises:
        CheckpointError: As `read_tensors`, and for a file that lacks one of the parts.
    """
    content = read_content(file)
    names = sorted(map(str, content)) if isinstance(content, Mapping) else []
    if not isinstance(content, Mapping) or set(parts) - set(names):
        got = _listed(names) or type(content).__name__
        raise CheckpointError(
            f"{file}: expected a mapping with {', '.join(parts)}, got {got}; it is another kind of file"
        )
    return {part: plain_tensors(_part(file, part), content[part]) for part in parts}


def _part(file: Path, part: str) -> Path:
    """What messages call a part of a file."""
    return file.with_name(f"{file.name}[{part}]")


def check_whole(folder: Path, remedy: str) -> None:
    """Open every ``.safetensors`` and ``.json`` file below a folder; of tensors the table of contents alone is read.

    Raises:
        CheckpointError: Naming every file that is cut short or of another format, then the remedy.
    """
    broken = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            if file.suffix == ".safetensors":
                with safe_open(file, "pt"):
                    pass
            elif file.suffix == ".json":
                json.loads(file.read_bytes())
        except (SafetensorError, ValueError) as error:
            got = f"{file.stat().st_size} bytes that cannot be read ({_first_line(error)})"
            broken.append(f"{file}: expected a whole {file.suffix} file, got {_pointer(file) or got}")
    refuse(broken, remedy)


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """Shape of every tensor, by its name."""
    return {key: tuple(value.shape) for key, value in tensors.items()}


def differences(file: Path, expected: Shapes, tensors: Mapping[str, Tensor]) -> list[str]:
    """Lines that name what is missing, unexpected, misshapen or not finite; empty where all is as expected."""
    missing, unexpected, misshapen = _unlike(expected, tensors)
    told = [f"{key} (expected {list(expected[key])}, got {list(tensors[key].shape)})" for key in misshapen]
    common = sorted(expected.keys() & tensors.keys())
    broken = [key for key in common if not tensors[key].is_meta and not bool(torch.isfinite(tensors[key]).all())]
    found = {"missing": missing, "unexpected": unexpected, "misshapen": told, "not finite": broken}
    lines = [f"  {len(keys)} {kind}: {_listed(keys)}" for kind, keys in found.items() if keys]
    return [f"{file}: expected {len(expected)} tensors, got {len(tensors)}", *lines] if lines else []


def check_exactly(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Refuse tensors that are not exactly the expected ones, by name and shape; values are not looked at.

    Args:
        expected: What there should be.
        tensors: What there is.
        what: What it is and where it comes from, as the error begins.
        remedy: What to do, as the error ends.

    Raises:
        CheckpointError: In one line: how many are missing, unexpected and of another shape, and the first of each.
    """
    _refuse_unlike(len(expected), _unlike(shapes_of(expected), tensors), what, remedy)


def check_loaded(model: nn.Module, found: Mapping[str, Iterable[Any]], what: str, remedy: str) -> None:
    """`check_exactly` for ``from_pretrained(..., output_loading_info=True)``, which fills and drops tensors quietly.

    Args:
        model: What was loaded.
        found: The loading info of diffusers or transformers.
        what: See `check_exactly`.
        remedy: See `check_exactly`.

    Raises:
        CheckpointError: As `check_exactly`.
    """
    keys = [
        sorted(key if isinstance(key, str) else key[0] for key in found.get(f"{kind}_keys", ()))
        for kind in ("missing", "unexpected", "mismatched")
    ]
    _refuse_unlike(len(model.state_dict()), keys, what, remedy)


def _unlike(expected: Shapes, tensors: Mapping[str, Tensor]) -> list[list[str]]:
    """Keys that are missing, unexpected, and of another shape."""
    common = expected.keys() & tensors.keys()
    misshapen = [key for key in common if tuple(tensors[key].shape) != tuple(expected[key])]
    return [sorted(keys) for keys in (expected.keys() - common, tensors.keys() - common, misshapen)]


def _refuse_unlike(count: int, keys: Sequence[Sequence[str]], what: str, remedy: str) -> None:
    if any(keys):
        kinds = zip(("missing", "unexpected", "of another shape"), keys, strict=True)
        told = [f"{len(found)} {kind}" + (f" (first: {found[0]})" if found else "") for kind, found in kinds]
        raise CheckpointError(f"{what}: expected exactly {count} tensors, got {', '.join(told)}; {remedy}")


def refuse(problems: Iterable[str], remedy: str) -> None:
    """Raise one error of all problems, if there are any.

    Raises:
        CheckpointError: The problems, then the remedy.
    """
    lines = list(problems)
    if lines:
        raise CheckpointError("\n".join([*lines, remedy]))


def fill(module: nn.Module, file: Path, tensors: Mapping[str, Tensor], what: str = "this network") -> None:
    """Fill a network, which may be on the meta device, with tensors that must be its state, whole and nothing else.

    Only the training steps that batch norms have counted may be absent: nothing uses them, and PyTorch before 0.4.1
    did not write them.

    Args:
        module: The network.
        file: Where the tensors are from, for messages.
        tensors: By the names of the network's state.
        what: What the file should be, for messages.

    Raises:
        CheckpointError: Naming every key that is missing, unexpected, misshapen or not finite.
    """
    own = module.state_dict()
    uncounted = {key for key in own.keys() - tensors.keys() if key.endswith("num_batches_tracked")}
    found = differences(file, shapes_of({key: own[key] for key in own.keys() - uncounted}), tensors)
    refuse(found, f"{file}: not loaded; expected {what}, got another network or a damaged file; fetch it again")
    state = {
        key: tensors[key].to(value.dtype) if key in tensors else torch.zeros_like(value, device="cpu")
        for key, value in own.items()
    }
    module.load_state_dict(state, strict=True, assign=any(value.is_meta for value in own.values()))


def renamed(file: Path, names: Mapping[str, str], tensors: Tensors) -> Tensors:
    """The tensors under new names, each of which must be taken once.

    Raises:
        CheckpointError: Naming those that are taken twice.
    """
    twice = sorted(name for name, count in Counter(names.values()).items() if count > 1)
    if twice:
        raise CheckpointError(f"{file}: stored twice under different prefixes: {_listed(twice)}")
    return {names[key]: value for key, value in tensors.items()}


def _pointer(file: Path) -> str:
    """What the file is, where it is a Git LFS pointer; else empty."""
    with file.open("rb") as stream:
        pointer = stream.read(64).startswith(b"version https://git-lfs")
    return "a Git LFS pointer instead of the file it points to" if pointer else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


def _listed(keys: list[str]) -> str:
    more = f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
