"""Weights of the fixtures, a function of key, shape and salt (numpy alone; the facts stand beside the fixtures)."""

import fnmatch
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def draw(key: str, shape: Sequence[int], salt: str) -> np.ndarray:
    """Standard-normal float64 of the generator that key and salt name."""
    seed = zlib.crc32(f"{salt}/{key}".encode()) & 0xFFFFFFFF
    return np.asarray(np.random.RandomState(seed).standard_normal(tuple(shape)))


def noise(number: int, shape: Sequence[int], salt: str) -> Tensor:
    """The decoder's noise draw of a number."""
    return torch.from_numpy(draw(f"noise:{number}", shape, salt).astype(np.float32))


def baseline_state(module: nn.Module, salt: str) -> dict[str, Tensor]:
    """The state of a network of ``fixtures/baselines``."""
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    state: dict[str, Any] = {}
    for key, shape in shapes.items():
        if not key.endswith("weight_u") and not (key.endswith("weight_v") and f"{key[:-1]}u" in shapes):
            state[key] = _value(key, draw(key, shape, salt).astype(np.float32))
    for key in (key for key in shapes if key.endswith("weight_u")):
        left = draw(key, shapes[key], salt)
        state[key] = (left / np.linalg.norm(left)).astype(np.float32)
        weight = state[f"{key.removesuffix('weight_u')}weight_orig"].astype(np.float64)
        right = weight.reshape(len(weight), -1).T @ state[key].astype(np.float64)
        state[f"{key.removesuffix('weight_u')}weight_v"] = (right / np.linalg.norm(right)).astype(np.float32)
    return {key: torch.from_numpy(np.array(state[key], order="C")) for key in shapes}


def override(state: dict[str, Tensor], rules: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Apply the ``overrides`` of an index, in order."""
    for rule in rules:
        for key in fnmatch.filter(state, rule["key"]):
            value = torch.as_tensor(rule["value"], dtype=state[key].dtype)
            value = value.reshape(-1, *[1] * (state[key].ndim - 1)) if value.ndim else value
            filled = {"fill": torch.ones_like(state[key]) * value, "mul": state[key] * value, "add": state[key] + value}
            state[key] = filled[rule["op"]]
    return state


def released_state(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """The state of a network of ``fixtures/colorflow`` that was filled by rule."""
    return {
        key: torch.from_numpy(np.asarray(_released_value(key, tuple(value.shape), seed))) if value.ndim else value
        for key, value in module.state_dict().items()
    }


def _value(key: str, normal: np.ndarray) -> np.ndarray:
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros((), dtype=np.int64)
    if leaf == "running_mean":
        return 0.1 * normal
    if leaf == "running_var":
        return 1 + 0.1 * np.abs(normal)
    if leaf.startswith("bias"):
        return 0.05 * normal
    if normal.ndim >= 2:
        return normal * np.float32(np.sqrt(2 / np.prod(normal.shape[1:])))
    return 1 + 0.1 * normal


def _released_value(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    source = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0x7FFFFFFF)
    normal = np.asarray(source.standard_normal(shape))
    if key.endswith("running_var"):
        return (0.5 + np.abs(normal)).astype(np.float32)
    if key.endswith("running_mean"):
        return (0.2 * normal).astype(np.float32)
    if len(shape) >= 2:
        return (0.4 * normal / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)
    return (0.1 * normal if key.endswith("bias") else 1 + 0.2 * normal).astype(np.float32)
