"""Weights out of a file of fastai's ``Learner.save``, without fastai and without running what the file holds."""

from __future__ import annotations

import collections
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from colorflow.utils.tensors import CheckpointError, Tensors, plain_tensors, read_content

MODEL = "model"
"""Key of the weights, beside which the state of the optimizer may stand."""

_KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}
"""All that a pickle may name; storages are PyTorch's own business."""


def read_learner(file: Path) -> Tensors:
    """The weights of a Learner file, or of a file of weights alone.

    Raises:
        CheckpointError: For a missing or damaged file, and one that holds no mapping of names to tensors.
    """
    try:
        content = read_content(file)
    except CheckpointError as error:
        content = _read_skipping(file, error)
    if not isinstance(content, Mapping) or MODEL not in content:
        return plain_tensors(file, content)
    if not isinstance(content[MODEL], Mapping):
        raise CheckpointError(
            f"{file}: expected the state of a network under {MODEL!r}, got {type(content[MODEL]).__name__}; "
            "Learner.save writes such a file, Learner.export does not"
        )
    return plain_tensors(file, content[MODEL])


def _read_skipping(file: Path, error: CheckpointError) -> object:
    """Read a pickle that names classes, which become placeholders; where that fails too, the first error stands."""
    if not file.is_file() or file.suffix == ".safetensors":
        raise error
    try:
        return torch.load(file, map_location="cpu", weights_only=False, pickle_module=_Pickle)
    except Exception:  # a damaged pickle can raise anything
        raise error from None


class Skipped:
    """Stands for any object of a class that is not loaded; takes whatever a pickle does to it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Skipped:
        """Where a pickle calls it."""
        return self

    def __setstate__(self, state: Any) -> None:
        """Where a pickle gives it a state."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Where a pickle fills it as a mapping."""

    def append(self, value: Any) -> None:
        """Where a pickle fills it as a list."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), Skipped)


class _Pickle:
    """What ``torch.load`` takes as a pickle module."""

    __name__ = "pickle"
    Unpickler = _Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        """Read one object."""
        return _Unpickler(file, **options).load()
