"""Random draws of a training sample, each sample from its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colorflow.utils.seeding import generator
from colorflow.utils.tensors import to_device


@dataclass(frozen=True)
class SampleNoise:
    """Everything random in one denoising step, for B samples.

    Attributes:
        uniform: ``(B,)`` in [0, 1), for the timestep.
        noise: ``(B, C, h, w)`` standard normal, the forward process.
        target: ``(B, C, h, w)``, posterior of the target canvas.
        condition: Two ``(B, C, h, w)``, posteriors of the condition's encodings.
    """

    uniform: Tensor
    noise: Tensor
    target: Tensor
    condition: tuple[Tensor, Tensor]


def draw_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu") -> SampleNoise:
    """Draw on the CPU, sample by sample, so that neither batch size, rank count nor device changes a draw.

    Args:
        seeds: One integer a sample.
        shape: ``(C, h, w)`` of the latents.
        device: Where the tensors end up.
    """
    uniforms, normals = [], []
    for seed in seeds:
        source = generator(seed)
        uniforms.append(torch.rand((), generator=source))
        normals.append(torch.randn((4, *shape), generator=source))
    uniform = to_device(torch.stack(uniforms), device)
    noise, target, first, second = to_device(torch.stack(normals, dim=1), device)
    return SampleNoise(uniform, noise, target, (first, second))
