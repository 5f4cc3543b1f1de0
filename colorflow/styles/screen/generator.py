"""Colour to screen code (``G_RGB2INTSCR``): an eight-level U-Net whose skips are added."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colorflow.styles.screen.blocks import ChannelScale, SpectralConv2d, double, layer_norm, leaky

LEVELS = 8


class _Level(nn.Module):
    """One level and all below it. ``widths``: its outer and inner width, then those of the levels below."""

    def __init__(self, widths: Sequence[int], outermost: bool = False) -> None:
        super().__init__()
        outer, inner, *below = widths
        self.outermost, self.innermost = outermost, not below
        self.noiseblock = ChannelScale(outer)  # in the files, never used
        self.slots = ("1", "2", "5", "9") if outermost else ("2", "4", "7", "11")
        if self.innermost:
            self.slots = ("2", "", "5", "9")
        down, middle, up, last = self.slots
        self.model = nn.ModuleDict({down: SpectralConv2d(outer, inner, stride=2)})
        if not self.innermost:
            self.model[middle] = _Level((inner, *below))
        self.model[up] = nn.Conv2d(inner, outer, 1)
        self.model[last] = SpectralConv2d(outer, outer)

    def forward(self, x: Tensor) -> Tensor:
        down, up, last = (self.model[self.slots[place]] for place in (0, 2, 3))
        # Officially the activation runs in place, on the tensor that is also the skip: the skip is activated.
        skip = x if self.outermost else leaky(x)
        inner = down(skip)
        if not self.innermost:
            inner = self.model[self.slots[1]](inner if self.outermost else layer_norm(inner))
        raised = last(leaky(layer_norm(up(double(leaky(inner))))))
        return raised if self.outermost else layer_norm(raised) + skip


class ScreenGenerator(nn.Module):
    """The network of ``latest_net_G_RGB2INTSCR.pth``.

    Args:
        width: Channels of the first level (official: 48); the fourth and all below have eight times as many.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.model = _Level((4, *(width * min(2**level, 8) for level in range(LEVELS))), outermost=True)

    def forward(self, page: Tensor) -> Tensor:
        """Return the screen code.

        Args:
            page: ``(B, 4, H, W)`` float in [-1, 1]: luminance, then red, green, blue; sides multiples of 256.

        Returns:
            ``(B, 4, H, W)`` float in [-1, 1].
        """
        return torch.tanh(self.model(page))
