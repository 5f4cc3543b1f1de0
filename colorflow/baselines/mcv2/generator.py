"""The generator of MC-v2: a gray encoder, a hint encoder and a decoder of shuffled pixels, under official names.

``to4`` and ``tunnel1`` are in the official files and are never run; they are here so that files load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence

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


_DILATIONS = (1, 1, 2, 2, 4, 4, 2, 1)
STRIDE = 8
"""Sides of the input are multiples of it."""


class _GrayEncoder(nn.Module):
    """Squeeze-and-excitation ResNeXt, without the pool after its stem and without its last stage."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 128, 3, stride=1)
        self.layer2 = _stage(256, 256, 4, stride=2)
        self.layer3 = _stage(512, 512, 6, stride=2)

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the stem (64 channels at 1/2) and the stages (256 at 1/2, 512 at 1/4, 1024 at 1/8)."""
        stem = F.relu(self.bn1(self.conv1(gray)))
        first = self.layer1(stem)
        second = self.layer2(first)
        return stem, first, second, self.layer3(second)


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    outputs = 2 * width
    first = EncoderBlock(inputs, width, outputs, stride)
    return nn.Sequential(first, *(EncoderBlock(outputs, width, outputs) for _ in range(blocks - 1)))


def _pair(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two convolutions, the first of them strided."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(outputs, outputs, 3, 1, 1),
        nn.LeakyReLU(SLOPE),
    )


def _tunnel(inputs: int, width: int, dilations: Sequence[int], groups: int = GROUPS) -> nn.Sequential:
    """Blocks between two convolutions, then twice the size with half the channels."""
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, 1, 1),
        nn.LeakyReLU(SLOPE),
        nn.Sequential(*(DecoderBlock(width, dilation, groups) for dilation in dilations)),
        nn.Conv2d(width, 2 * width, 3, 1, 1),
        nn.PixelShuffle(2),
        nn.LeakyReLU(SLOPE),
    )


def _guide_head() -> nn.Sequential:
    """Transposed convolutions from 1/4 to the full size."""
    head = nn.Sequential()
    for inputs, outputs, stride in ((256, 128, 2), (128, 64, 2), (64, 32, 1), (32, 3, 1)):
        last = outputs == 3
        head.append(nn.ConvTranspose2d(inputs, outputs, 3, stride, 1, output_padding=stride - 1))
        head.append(nn.Tanh() if last else nn.LeakyReLU(SLOPE))
    return head


class Generator(nn.Module):
    """The colours of a gray page, with or without hints."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _GrayEncoder()
        self.to0 = _pair(5, 32, 1)
        self.to1 = _pair(32, 64, 2)
        self.to2 = _pair(64, 92, 2)
        self.to3 = _pair(92, 128, 2)
        self.to4 = _pair(128, 256, 2)
        self.deconv_for_decoder = _guide_head()
        self.tunnel4 = _tunnel(1024 + 128, 512, (1,) * 20)
        self.tunnel3 = _tunnel(256 + 512, 256, _DILATIONS)
        self.tunnel2 = _tunnel(128 + 256 + 64, 128, _DILATIONS)
        self.tunnel1 = _tunnel(64 + 32, 64, (1,) * 5, groups=16)
        self.exit = nn.Sequential(nn.Conv2d(64 + 32, 32, 3, 1, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(32, 3, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Return the page in colour.

        Args:
            x: ``(B, 5, H, W)`` float: gray in [0, 1], RGB hint in [-1, 1] times its mask, mask of 0 and 1; sides
                multiples of 8.

        Returns:
            ``(B, 3, H, W)`` float in [-1, 1].
        """
        return self._decode(*self._deepest(x))

    def guide(self, x: Tensor) -> Tensor:
        """Return the image that training compared from within, ``(B, 3, H, W)`` in [-1, 1]; nothing else uses it."""
        return self.deconv_for_decoder(self._deepest(x)[0])

    def _decode(self, deepest: Tensor, skips: tuple[Tensor, Tensor, Tensor], full: Tensor) -> Tensor:
        """Decode what `_deepest` gave."""
        stem, first, second = skips
        quarter = self.tunnel3(torch.cat([deepest, second], 1))
        half = self.tunnel2(torch.cat([quarter, first, stem], 1))
        return self.exit(torch.cat([half, full], 1))

    def _deepest(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], Tensor]:
        """Features at 1/4 after the first tunnel, the gray encoder's skips, and the hint encoder's at full size."""
        full = self.to0(x)
        hints = self.to3(self.to2(self.to1(full)))
        stem, first, second, third = self.encoder(x[:, :1])
        return self.tunnel4(torch.cat([third, hints], 1)), (stem, first, second), full
