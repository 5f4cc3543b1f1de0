"""The U-Net of ACDO as it was trained, under fastai 1.0.51; ``layers`` has the places of the official files.

Fact: that version blurs after the last pixel shuffle too, which later ones (of the same parameter names) do not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet34

from colorflow.styles.screen.blocks import Spectral


class SpectralConv2d(Spectral):
    """A convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = False) -> None:
        super().__init__(outputs, inputs, kernel, kernel, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, h, w)``."""
        return F.conv2d(x, self.weight, self.bias, padding=self.weight_orig.shape[-1] // 2)


class SpectralConv1d(Spectral):
    """A matrix over the channels of ``(B, C, n)``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(outputs, inputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, n)``."""
        return F.conv1d(x, self.weight)


class WeightNormConv2d(nn.Module):
    """A 1 x 1 convolution whose filters have learned lengths."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.empty(outputs, 1, 1, 1))
        self.weight_v = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, h, w)``."""
        length = self.weight_v.flatten(1).norm(dim=1)[:, None, None, None]
        return F.conv2d(x, self.weight_g * self.weight_v / length, self.bias)


class SelfAttention(nn.Module):
    """Every pixel attends to every other; weights sum to 1 over the queries, not over the keys (released)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = SpectralConv1d(channels, channels // 8)
        self.key = SpectralConv1d(channels, channels // 8)
        self.value = SpectralConv1d(channels, channels)
        self.gamma = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, h, w)``."""
        flat = x.flatten(2)
        weights = torch.softmax(self.query(flat).mT @ self.key(flat), dim=1)
        return self.gamma * (self.value(flat) @ weights).reshape(x.shape) + x


def conv_block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, ReLU, batch norm."""
    return nn.Sequential(SpectralConv2d(inputs, outputs, 3), nn.ReLU(), nn.BatchNorm2d(outputs))


class Shuffle(nn.Module):
    """Twice the size: a 1 x 1 convolution's channels laid out as pixels, then blurred over 2 x 2."""

    def __init__(self, *convolution: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(*convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C / 4, 2h, 2w)``, C the channels of the convolution."""
        shuffled = F.pixel_shuffle(F.relu(self.conv(x)), 2)
        return F.avg_pool2d(F.pad(shuffled, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class UpBlock(nn.Module):
    """A level upwards: twice the size, joined with the body's features of that size, two convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int, attention: bool = False) -> None:
        super().__init__()
        self.shuf = Shuffle(SpectralConv2d(inputs, 2 * inputs, 1), nn.BatchNorm2d(2 * inputs))
        self.bn = nn.BatchNorm2d(skip)
        self.conv1 = conv_block(inputs // 2 + skip, outputs)
        self.conv2 = conv_block(outputs, outputs)
        if attention:
            self.conv2.append(SelfAttention(outputs))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return ``(B, outputs, h, w)`` at the size of ``skip``."""
        up = self.shuf(x)
        if up.shape[-2:] != skip.shape[-2:]:
            up = F.interpolate(up, skip.shape[-2:], mode="nearest")
        return self.conv2(self.conv1(F.relu(torch.cat([up, self.bn(skip)], 1))))


class Residual(nn.Module):
    """Two convolutions beside the identity, each with its bias and ReLU; nothing after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        pairs = (nn.Sequential(SpectralConv2d(channels, channels, 3, bias=True), nn.ReLU()) for _ in range(2))
        self.layers = nn.Sequential(*pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, h, w)``."""
        return x + self.layers(x)


STRIDE = 16
"""Sides of the input are multiples of it."""

_SKIPS = (2, 4, 5, 6)
"""Places of the body that the up-blocks take features of: its first ReLU at 1/2, then stages at 1/4, 1/8, 1/16."""

_BODY = 7
"""Last place of the body: the stage at 1/32."""

_LIMIT = 3.0
"""Colours, normalised by mean and deviation, lie within it."""


class AcdoUNet(nn.Module):
    """The colours of a square rendition of a page."""

    def __init__(self) -> None:
        super().__init__()
        body = nn.Sequential(*list(resnet34(weights=None).children())[: _BODY + 1])
        self.layers = nn.ModuleList(
            [
                body,
                nn.BatchNorm2d(512),
                nn.ReLU(),
                nn.Sequential(conv_block(512, 1024), conv_block(1024, 512)),
                UpBlock(512, 256, 768),
                UpBlock(768, 128, 768, attention=True),
                UpBlock(768, 64, 672),
                UpBlock(672, 64, 300),
                Shuffle(WeightNormConv2d(300, 1200)),
                nn.Identity(),  # where features and input are joined
                Residual(303),
                nn.Sequential(SpectralConv2d(303, 3, 1, bias=True)),
            ]
        )

    def forward(self, page: Tensor) -> Tensor:
        """Return the page in colour.

        Args:
            page: ``(B, 3, H, W)`` float, normalised, sides multiples of 16.

        Returns:
            ``(B, 3, H, W)`` float within (-3, 3), normalised alike.
        """
        skips, x = [], page
        for place, layer in enumerate(self.layers[0].children()):
            x = layer(x)
            if place in _SKIPS:
                skips.append(x)
        for layer in self.layers[1:4]:
            x = layer(x)
        for layer in self.layers[4:8]:
            x = layer(x, skips.pop())
        x = torch.cat([self.layers[8](x), page], 1)
        for layer in self.layers[9:]:
            x = layer(x)
        return 2 * _LIMIT * torch.sigmoid(x) - _LIMIT
