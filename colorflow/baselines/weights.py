"""Official weight files of other methods: one network a file, strictly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from colorflow.methods import MethodSpec, Rows
from colorflow.utils.hashing import digest_json
from colorflow.utils.tensors import CheckpointError, differences, refuse

Network = TypeVar("Network", bound=nn.Module)


class MissingWeightsError(CheckpointError, FileNotFoundError):
    """Weights that are not there; the message says what to fetch, under which licence, and where to put it."""


@dataclass(frozen=True)
class Published:
    """A file that others publish and this project does not hold.

    Attributes:
        what: Whose network, and the file's name there.
        where: Where it is published.
        licence: Of the weights.
    """

    what: str
    where: str
    licence: str

    def find(self, path: str | Path | None, *, key: str = "method.weights", parts: Iterable[str] = ("",)) -> Path:
        """The path that the user, or a default, names.

        Args:
            path: Where the file should lie, or the folder of its parts.
            key: Config key that names it.
            parts: Files below the path, all of which must be there.

        Raises:
            MissingWeightsError: Where they are not.
        """
        absent = [part for part in parts if path is None or not (Path(path) / part).is_file()]
        if path is not None and not absent:
            return Path(path)
        got = "got no path" if path is None else f"found none at {', '.join(str(Path(path) / part) for part in absent)}"
        put = f"set {key} to where it lies" if path is None else f"put it there or set {key}=PATH"
        raise MissingWeightsError(
            f"{key}: expected {self.what}, {got}. Published {self.where}; licence: {self.licence}. Fetch it and {put} "
            "(docs/baselines.md)"
        )


def load_network(build: Callable[[], Network], file: Path, tensors: Mapping[str, Tensor], what: str) -> Network:
    """Build a frozen network in eval mode from the tensors of its file, which must be all of it and nothing else.

    Only the training steps that batch norms have counted may be absent: nothing uses them, and PyTorch before 0.4.1
    did not write them.

    Args:
        build: Makes the network; all of its tensors must be in its state.
        file: Where the tensors are from, for messages.
        tensors: By the names of the network's state.
        what: What the file should be, for messages.

    Raises:
        CheckpointError: Naming what is missing, unexpected, misshapen or not finite.
    """
    with torch.device("meta"):
        network = build()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    uncounted = {key for key in shapes.keys() - tensors.keys() if key.endswith("num_batches_tracked")}
    found = differences(file, {key: shape for key, shape in shapes.items() if key not in uncounted}, tensors)
    refuse(found, f"{file}: not loaded; expected {what}, got another network or a damaged file; fetch it again")
    state = {**tensors, **{key: torch.zeros(()) for key in uncounted}}
    network.to_empty(device="cpu").load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)


def port_row(load: Callable[[str], Any], device: str, label: str) -> Rows:
    """The row of a ported system.

    Its files are read at once, so that a wrong one is told before anything is coloured, and again when pages are due: a
    table of many systems holds one at a time.

    Args:
        load: Makes the method, with its name, settings and digests, on a device.
        device: ``auto`` takes the GPU where there is one.
        label: As for `MethodSpec`.
    """
    method = load("cpu")
    fingerprint = digest_json([type(method).__name__, method.digests, asdict(method.settings)])
    return {method.name: MethodSpec(lambda: load(device), "none", fingerprint, label=label)}


def find_device(device: str) -> torch.device:
    """The device of a name; ``auto`` takes the GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
