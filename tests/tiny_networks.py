"""Networks and weight files for tests of metrics: random, small, and in the published layouts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from colorflow.metrics import weights
from colorflow.metrics.weights import WeightsFile


def pages(count: int, size: tuple[int, int] = (40, 56), seed: int = 0) -> Tensor:
    """``(N, 3, H, W)`` float64 random pages of 8-bit levels in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size[::-1], mode="bilinear")
    noisy = smooth + 0.1 * torch.rand(smooth.shape, generator=generator)
    return (noisy.clamp(0, 1) * 255).round().double() / 255


def publish(monkeypatch, name: str, path: Path, *modules) -> WeightsFile:
    """Declare the file at ``path`` to be the published one, in ``weights`` and in modules that imported it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = WeightsFile(path.name, f"https://example.org/{path.name}", digest)
    for module in (weights, *modules):
        monkeypatch.setattr(module, name, file)
    return file


def published_head_state(seed: int = 0) -> dict[str, Tensor]:
    """A state of the key names and shapes of the published aesthetic head."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {0: (1024, 768), 2: (128, 1024), 4: (64, 128), 6: (16, 64), 7: (1, 16)}
    state = {}
    for place, shape in shapes.items():
        state[f"layers.{place}.weight"] = torch.randn(shape, generator=generator) / shape[1] ** 0.5
        state[f"layers.{place}.bias"] = torch.randn(shape[0], generator=generator)
    return state
