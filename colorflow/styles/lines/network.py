"""The line extractor (``res_skip``): a residual U-Net of pre-activated units, under the official parameter names.

Facts: a unit is batch norm, leaky ReLU 0.2, convolution. The last block of a downward group has stride 2; the
first block of an upward group doubles by nearest neighbour after its first unit. Skips are added.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorflow.styles.screen.blocks import leaky

_WIDTHS = (24, 48, 96, 192, 384)
_BLOCKS = (2, 3, 5, 7, 12)
_LAST_WIDTH = 16
WHITE = 255.0


class _Unit(nn.Module):
    """Batch norm, leaky ReLU, convolution; ``model`` has the slots of the files."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(inputs, eps=1e-3)
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.model = nn.ModuleDict({"0": norm, "2": conv})

    def forward(self, x: Tensor) -> Tensor:
        return self.model["2"](leaky(self.model["0"](x)))


class _Block(nn.Module):
    """Two units beside a shortcut, which is the identity where widths and sizes stay."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, doubles: bool = False) -> None:
        super().__init__()
        self.doubles = doubles
        self.conv1 = _Unit(inputs, outputs, stride)
        self.residual = _Unit(outputs, outputs)
        changes = inputs != outputs or stride != 1 or doubles
        self.shortcut = _named(nn.Conv2d(inputs, outputs, 1, stride)) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner, direct = self.conv1(x), self.shortcut(x)
        if self.doubles:
            inner, direct = (F.interpolate(part, scale_factor=2, mode="nearest") for part in (inner, direct))
        return direct + self.residual(inner)


def _named(*modules: nn.Module) -> nn.Sequential:
    """Modules in a row, under the name that the files give the row."""
    return nn.Sequential(OrderedDict(model=nn.Sequential(*modules)))


def _group(inputs: int, outputs: int, blocks: int, kind: str = "") -> nn.Sequential:
    """Blocks in a row: ``down`` halves in the last, ``up`` doubles in the first."""
    return _named(
        _Block(inputs, outputs, doubles=kind == "up"),
        *(_Block(outputs, outputs) for _ in range(blocks - 2)),
        _Block(outputs, outputs, stride=2 if kind == "down" else 1),
    )


class LineNetwork(nn.Module):
    """The network of ``erika.pth``; made for eval mode, in which it starts."""

    def __init__(self) -> None:
        super().__init__()
        self.block0 = _group(1, _WIDTHS[0], _BLOCKS[0])
        for level in range(1, 5):
            self.add_module(f"block{level}", _group(_WIDTHS[level - 1], _WIDTHS[level], _BLOCKS[level], "down"))
        for level in range(5, 9):
            above = 8 - level
            self.add_module(f"block{level}", _group(_WIDTHS[above + 1], _WIDTHS[above], _BLOCKS[above], "up"))
        self.block9 = _group(_WIDTHS[0], _LAST_WIDTH, _BLOCKS[0])
        self.conv15 = _Unit(_LAST_WIDTH, 1, kernel=1)
        self.eval()

    def forward(self, gray: Tensor) -> Tensor:
        """Return the line drawing, dark on white, unbounded.

        Args:
            gray: ``(B, 1, H, W)`` float in [0, 255], not normalised; sides multiples of 16.

        Returns:
            ``(B, 1, H, W)`` float, about [0, 255].
        """
        skips = [self.block0(gray)]
        for level in range(1, 5):
            skips.append(self.get_submodule(f"block{level}")(skips[-1]))
        x = skips.pop()
        for level in range(5, 9):
            x = self.get_submodule(f"block{level}")(x) + skips.pop()
        return self.conv15(self.block9(x))


@torch.no_grad()
def draw_lines(network: LineNetwork, gray: Tensor) -> Tensor:
    """Draw the lines of gray pages of any size.

    Args:
        network: The network, in eval mode.
        gray: ``(B, 1, H, W)`` uint8, as OpenCV computes gray.

    Returns:
        ``(B, 1, H, W)`` uint8; cut off below the point, as released.
    """
    height, width = gray.shape[-2:]
    device = next(network.parameters()).device
    values = gray.to(device, torch.float32)
    # Padded right and bottom to multiples of 16 with ones, which is almost black (released).
    values = F.pad(values, (0, -width % 16, 0, -height % 16), value=1.0)
    return network(values)[..., :height, :width].clamp(0, WHITE).to(torch.uint8)


def opencv_gray(page: Tensor) -> Tensor:
    """Gray as OpenCV computes it of uint8 RGB: ``(B, 1, H, W)`` of ``(B, 3, H, W)``; at most 1 level from Pillow's."""
    red, green, blue = (page[:, i : i + 1].int() * factor for i, factor in enumerate((9798, 19235, 3735)))
    return (red + green + blue + (1 << 14) >> 15).to(torch.uint8)
