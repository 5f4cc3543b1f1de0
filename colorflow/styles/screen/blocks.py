"""What the screen networks are built of, under the parameter names of the official files.

The networks are for inference: batch statistics, spectral iterations and dropout masks do not change by
themselves. Facts: layer norms without parameters span a whole map, so that padding is seen by every pixel; all 3 x 3
convolutions pad by replication; leaky ReLU has a slope of 0.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Spectral(nn.Module):
    """A weight divided by its stored spectral norm.

    The files hold ``weight_orig`` and the vectors ``u`` and ``v``; in eval mode nothing is iterated: the norm is
    ``u . W v``.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, *shape: int, bias: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.weight_orig = nn.Parameter(nn.init.kaiming_normal_(torch.empty(shape)))
        with torch.no_grad():  # any vectors would do: the weights of a file were trained with its own
            flat = self.weight_orig.flatten(1)
            right = F.normalize(flat.sum(0), dim=0)
        self.register_buffer("weight_u", F.normalize(flat.detach() @ right, dim=0))
        self.register_buffer("weight_v", right)

    @property
    def weight(self) -> Tensor:
        """The normalised weight."""
        return self.weight_orig / (self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v))


class SpectralConv2d(Spectral):
    """A 3 x 3 convolution, replicated by one pixel."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(outputs, inputs, 3, 3)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, h, w)`` of ``(B, inputs, H, W)``."""
        return F.conv2d(pad(x, 1), self.weight, self.bias, self.stride)


class SpectralLinear(Spectral):
    """A linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(outputs, inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs)`` of ``(B, inputs)``."""
        return F.linear(x, self.weight, self.bias)


class ChannelScale(nn.Module):
    """A weight and a bias a channel; the files name it ``noiseblock``, in use or not."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def apply_to_half(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """Add scaled noise and the bias to the first half of the channels; the bias acts without noise too."""
        half = x.shape[1] // 2
        added = self.bias[:half, None, None].expand(x.shape[0], half, *x.shape[2:])
        if noise is not None:
            added = added + noise[:, :half] * self.weight[:half, None, None]
        return x + F.pad(added, (0, 0, 0, 0, 0, x.shape[1] - half))


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
