"""What the screen networks are built of, under the parameter names of the official files.

The networks are for inference: batch statistics, spectral iterations and dropout masks do not change by
themselves. Facts: layer norms without parameters span a whole map, so that padding is seen by every pixel; all 3 x 3
convolutions pad by replication; leaky ReLU has a slope of 0.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralConv2d(nn.Module):
    """A 3 x 3 convolution, replicated by one pixel, its weight divided by a stored spectral norm.

    The file holds ``weight_orig`` and the vectors ``u`` and ``v``; in eval mode nothing is iterated: the norm is
    ``u . W v``.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.bias = nn.Parameter(torch.empty(outputs))
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs * 9))
        nn.init.kaiming_normal_(self.weight_orig)
        nn.init.zeros_(self.bias)
        with torch.no_grad():  # any vectors would do: the norm they give is what the file's weights were trained with
            self.weight_v.copy_(F.normalize(self.weight_orig.flatten(1).sum(0), dim=0))
            self.weight_u.copy_(F.normalize(self.weight_orig.flatten(1) @ self.weight_v, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, h, w)`` of ``(B, inputs, H, W)``."""
        norm = self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v)
        return F.conv2d(pad(x, 1), self.weight_orig / norm, self.bias, self.stride)


class ChannelScale(nn.Module):
    """A weight and a bias a channel; the files name it ``noiseblock``, in use or not."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))


def pad(x: Tensor, pixels: int) -> Tensor:
    """Replicate the border."""
    return F.pad(x, (pixels,) * 4, mode="replicate")


def pad_to(x: Tensor, height: int, width: int) -> Tensor:
    """Replicate the last row and column up to a size."""
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]), mode="replicate")


def pad_to_next_128(x: Tensor) -> Tensor:
    """Replicate right and bottom to the next multiple of 128; a side that is one already gets 128 more (official)."""
    return pad_to(x, (x.shape[-2] // 128 + 1) * 128, (x.shape[-1] // 128 + 1) * 128)


def layer_norm(x: Tensor) -> Tensor:
    """Normalise each sample over channels and pixels together."""
    return F.layer_norm(x, x.shape[1:], eps=1e-5)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU, slope 0.2."""
    return F.leaky_relu(x, 0.2)


def double(x: Tensor) -> Tensor:
    """Twice the size, bilinear with aligned corners."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
