"""Official weight files of other methods: one network a file, strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from colorflow.utils.tensors import CheckpointError, differences, refuse

Network = TypeVar("Network", bound=nn.Module)


def weights_file(file: str | Path, key: str, what: str) -> Path:
    """The path of a file that the user names.

    Args:
        file: Where it should lie.
        key: Config key that names it, for the message.
        what: What it should be, for the message.

    Raises:
        CheckpointError: Where there is none.
    """
    path = Path(file)
    if not path.is_file():
        raise CheckpointError(
            f"{key}: expected the file of {what}, found none at {path}; docs/baselines.md says where it is published, "
            f"set {key}=FILE"
        )
    return path


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


def find_device(device: str) -> torch.device:
    """The device of a name; ``auto`` takes the GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
