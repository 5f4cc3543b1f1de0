"""Residual blocks of the generator, under the official parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 32
SLOPE = 0.2


class SqueezeExcite(nn.Module):
    """Scales each channel by what the means of all channels say."""

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // ratio, 1)
        self.conv2 = nn.Conv2d(channels // ratio, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, h, w)`` of the same shape."""
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.conv2(F.relu(self.conv1(means))))


class EncoderBlock(nn.Module):
    """A grouped bottleneck with batch norms, of the gray encoder."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=GROUPS, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.selayer = SqueezeExcite(outputs)
        self.downsample = nn.Sequential()
        if inputs != outputs:
            self.downsample.extend([nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, h / stride, w / stride)``."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        inner = self.selayer(self.bn3(self.conv3(inner)))
        return F.relu(inner + self.downsample(x))


class DecoderBlock(nn.Module):
    """A grouped bottleneck without norms or biases, of the decoder."""

    def __init__(self, channels: int, dilation: int = 1, groups: int = GROUPS) -> None:
        super().__init__()
        inner = channels // 2
        self.conv_reduce = nn.Conv2d(channels, inner, 1, bias=False)
        self.conv_conv = nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)
        self.conv_expand = nn.Conv2d(inner, channels, 1, bias=False)
        self.selayer = SqueezeExcite(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, channels, h, w)``; nothing is activated after the sum."""
        inner = F.leaky_relu(self.conv_reduce(x), SLOPE)
        inner = F.leaky_relu(self.conv_conv(inner), SLOPE)
        return x + self.selayer(self.conv_expand(inner))
