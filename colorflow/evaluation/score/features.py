"""What networks answered about pictures, kept on disk by digest: computed once, whenever a run is stopped."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorflow.distributed.shared_lines import SharedLines


class FeatureStore:
    """Rows of features by a picture's key, in a file of JSON lines (base64 of little-endian float32).

    Args:
        path: The file; None keeps them in memory alone.
        writer: Number of this process among those that add rows.
    """

    def __init__(self, path: Path | None, writer: int = 0) -> None:
        self._lines = None if path is None else SharedLines(path, writer)
        self._rows: dict[str, Tensor] = {}
        for record in () if self._lines is None else self._lines.read():
            self._rows.setdefault(record["key"], _decode(record["features"]))

    def __contains__(self, key: str) -> bool:
        """Whether there is a row of this key."""
        return key in self._rows

    def add(self, key: str, features: Tensor) -> None:
        """Keep a row, ``(D,)`` float32, unless there is one: of equal pictures the first one's."""
        if key in self._rows:
            return
        self._rows[key] = features
        if self._lines is not None:
            self._lines.append({"key": key, "features": _encode(features)})

    def rows(self, keys: list[str]) -> Tensor:
        """``(N, D)`` float32 in the order of the keys.

        Raises:
            KeyError: For a key that is not there.
        """
        return torch.stack([self._rows[key] for key in keys])


def _encode(features: Tensor) -> str:
    return base64.b64encode(features.numpy().astype("<f4").tobytes()).decode("ascii")


def _decode(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32))
