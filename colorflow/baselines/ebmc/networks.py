"""The networks of EBMC: reference to colour code by a VGG-19; luminance and code to chroma by a modulated U-Net."""

from __future__ import annotations

from collections import OrderedDict
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import make_layers

_CONVOLUTIONS = (2, 2, 4, 4, 4)
_RELU5_2 = 32
"""Layers of the VGG that are run."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SLOPE = 0.2


class _Vgg19(nn.Module):
    """torchvision's VGG-19 as the file has it: with its classifier, which never runs."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        counts = enumerate(_CONVOLUTIONS)
        self.features = make_layers([part for level, n in counts for part in (*[width * min(2**level, 8)] * n, "M")])
        linear = {"0": (8 * width * 49, hidden), "3": (hidden, hidden), "6": (hidden, 1000)}
        self.classifier = nn.ModuleDict({slot: nn.Linear(*sizes) for slot, sizes in linear.items()})


class _Features(nn.Module):
    """The file holds each feature tensor twice, under both names; here they are the same modules."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.vgg_model = _Vgg19(width, hidden)
        self.vgg_feature = nn.Sequential(*self.vgg_model.features)

    def forward(self, picture: Tensor) -> Tensor:
        mean, std = (picture.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
        return self.vgg_feature[:_RELU5_2]((picture - mean) / std)


class ColorEncoder(nn.Module):
    """The network under ``colorEncoder``.

    Args:
        width: Channels of the VGG's first level (official: 64); the code has eight times as many.
        hidden: Width of its classifier (official: 4096).
    """

    def __init__(self, width: int = 64, hidden: int = 4096) -> None:
        super().__init__()
        self.vgg = _Features(width, hidden)
        deep, narrow = 8 * width, 4 * width

        def act() -> nn.Module:
            return nn.LeakyReLU(_SLOPE)

        self.feature2vector = nn.Sequential(
            *(nn.Conv2d(deep, deep, 4, 2, 2), act(), nn.Conv2d(deep, deep, 3, padding=1), act()),
            *(nn.Conv2d(deep, deep, 4, 2, 2), act(), nn.Conv2d(deep, deep, 3, padding=1), act()),
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(deep, narrow, 1), act(), nn.Conv2d(narrow, narrow, 1), act()),
            nn.Conv2d(narrow, deep, 1),
        )

    def forward(self, reference: Tensor) -> Tensor:
        """Return the colour code, ``(B, 512, 1, 1)``, of ``(B, 3, H, W)`` float RGB in [0, 1]."""
        return self.feature2vector(self.vgg(reference))

    def check_copies(self, tensors: dict[str, Tensor]) -> list[str]:
        """Keys of the VGG whose two copies in a state differ: which one would be run is not known."""
        name = "vgg.vgg_feature."
        return [
            key
            for key, value in tensors.items()
            if key.startswith(name)
            and not torch.equal(value, tensors[f"vgg.vgg_model.features.{key.removeprefix(name)}"])
        ]

    def drop_classifier(self) -> None:
        """Free the part that never runs (three quarters of the parameters)."""
        self.vgg.vgg_model.classifier = nn.ModuleDict()


_TINY = 1e-8
_SKIPPED = 4
"""Of a skip's channels every fourth is taken."""


def _double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Twice: convolution, batch norm, leaky ReLU."""
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)]
    return nn.Sequential(OrderedDict(double_conv=nn.Sequential(*layers)))


class _Residual(nn.Module):
    """A projection, and two convolutions of it beside it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bottle_conv = nn.Conv2d(inputs, outputs, 1)
        first, second = (nn.Conv2d(outputs, outputs, 3, padding=1) for _ in range(2))
        self.double_conv = nn.Sequential(first, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2), second)

    def forward(self, x: Tensor) -> Tensor:
        base = self.bottle_conv(x)
        return (base + self.double_conv(base)) / sqrt(2)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    halve = nn.Conv2d(inputs, inputs, 4, stride=2, padding=1)
    return nn.Sequential(OrderedDict(main=nn.Sequential(halve, nn.LeakyReLU(0.1), _Residual(inputs, outputs))))


class _ModulatedConv(nn.Module):
    """A convolution whose weights are scaled by the code for each input, then normalised for each output channel."""

    def __init__(self, channels: int, kernel: int, code: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, channels, kernel, kernel))
        self.modulation = nn.Conv2d(code, channels, 1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        kernel = self.weight.shape[-1]
        scale = self.modulation(code).view(batch, 1, channels, 1, 1)
        weight = self.weight / sqrt(channels * kernel**2) * scale
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + _TINY)
        merged = x.reshape(1, batch * channels, height, width)  # one group a sample: each has its own weights
        return F.conv2d(merged, weight.flatten(0, 1), padding=kernel // 2, groups=batch).view(x.shape)


class _Up(nn.Module):
    def __init__(self, inputs: int, skip: int, outputs: int, kernel: int, code: int) -> None:
        super().__init__()
        joined = nn.Conv2d(inputs + skip // _SKIPPED, outputs, 1)
        mixed = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_cat = nn.Sequential(joined, nn.LeakyReLU(0.2), mixed, nn.LeakyReLU(0.2))
        self.conv_s = nn.Conv2d(inputs, outputs, 1)
        self.SDFT = _ModulatedConv(outputs, kernel, code)

    def forward(self, x: Tensor, skip: Tensor, code: Tensor) -> Tensor:
        raised = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        joined = self.conv_cat(torch.cat([raised, skip[:, ::_SKIPPED]], dim=1))
        return self.SDFT(joined, code) + self.conv_s(raised)


class ColorUNet(nn.Module):
    """The network under ``colorUNet``; made for eval mode.

    Args:
        width: Channels at full resolution (official: 64).
        code: Length of the colour code (official: 512).
    """

    def __init__(self, width: int = 64, code: int = 512) -> None:
        super().__init__()
        self.inc = _double_conv(1, width)
        widths = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        for level in range(1, 5):
            self.add_module(f"down{level}", _down(widths[level - 1], widths[level]))
        ups = ((8, 8, 4, 3), (4, 4, 2, 3), (2, 2, 1, 5), (1, 1, 1, 5))
        for level, (inputs, skip, outputs, kernel) in enumerate(ups, 1):
            self.add_module(f"up{level}", _Up(inputs * width, skip * width, outputs * width, kernel, code))
        last = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 2, 3, padding=1)
        self.outc = nn.Sequential(last[0], nn.LeakyReLU(0.2), last[1])

    def forward(self, luminance: Tensor, code: Tensor) -> Tensor:
        """Return the chroma.

        Args:
            luminance: ``(B, 1, H, W)`` float, (L - 50) / 50; sides multiples of 16.
            code: ``(B, 512, 1, 1)`` float, of `ColorEncoder`.

        Returns:
            ``(B, 2, H, W)`` float in [-1, 1], (a, b) / 110.
        """
        skips = [self.inc(luminance)]
        for level in range(1, 5):
            skips.append(self.get_submodule(f"down{level}")(skips[-1]))
        x = skips.pop()
        for level in range(1, 5):
            x = self.get_submodule(f"up{level}")(x, skips.pop(), code)
        return torch.tanh(self.outc(x))
