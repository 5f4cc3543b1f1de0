"""Screentone to colour (``G_INTSCR2RGB``) and the code of a colour page (``E``): ScreenStyle's way back.

Not part of any input style; here because it is built of the same blocks and keys. The baseline that colours manga
with it needs both, and the ScreenVAE encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorflow.styles.screen.blocks import ChannelScale, SpectralConv2d, SpectralLinear, double, layer_norm, leaky
from colorflow.styles.screen.vae import Draws

LEVELS = 8
_TINY = 1e-8


class _StyleModulation(nn.Module):
    """Normalise each pixel, then each channel; scale and shift by the style code. The innermost adds noise first."""

    def __init__(self, channels: int, code: int, noisy: bool) -> None:
        super().__init__()
        if noisy:
            self.noise = ChannelScale(channels)
        self.noisy = noisy
        self.style_mod = nn.ModuleDict({"linear": nn.Sequential(nn.Linear(code, 2 * channels))})

    def forward(self, x: Tensor, code: Tensor, draws: Draws) -> Tensor:
        if self.noisy:
            x = self.noise.apply_to_half(x, draws.noise(x))
        x = leaky(x)
        x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + _TINY)
        x = x - x.mean((2, 3), keepdim=True)
        x = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + _TINY)
        scale, shift = leaky(self.style_mod["linear"](code))[..., None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class _Level(nn.Module):
    """One level and all below it; skips are added, activated as in the other networks."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], code: int, outermost: bool = False) -> None:
        super().__init__()
        inner, *below = widths
        self.outermost = outermost
        self.adaIn = _StyleModulation(inner, code, noisy=not below)  # of the outermost: in the file, never used
        self.down = nn.ModuleDict({"1" if outermost else "2": SpectralConv2d(inputs, inner, stride=2)})
        if below:
            self.submodule = _Level(inner, inner, below, code)
        self.innermost = not below
        self.up = nn.ModuleDict({"2": nn.Conv2d(inner, outputs, 1), "6": SpectralConv2d(outputs, outputs)})

    def forward(self, x: Tensor, code: Tensor, draws: Draws) -> Tensor:
        skip = x if self.outermost else leaky(x)
        inner = self.down["1" if self.outermost else "2"](skip)
        if not self.innermost:
            inner = self.submodule(inner if self.outermost else layer_norm(inner), code, draws)
        if not self.outermost:
            inner = self.adaIn(inner, code, draws)
        raised = self.up["6"](leaky(layer_norm(self.up["2"](double(leaky(inner))))))
        return raised if self.outermost else layer_norm(raised) + skip


class ScreenColorizer(nn.Module):
    """The network of ``latest_net_G_INTSCR2RGB.pth``.

    Args:
        width: Channels of the first level (official: 48).
        code: Length of the style code (official: 64).
    """

    def __init__(self, width: int = 48, code: int = 64) -> None:
        super().__init__()
        self.mapping = nn.ModuleDict({"func": nn.Sequential(*(nn.Linear(code, code) for _ in range(5)))})
        self.model = _Level(5, 3, [width * min(2**level, 8) for level in range(LEVELS)], code, outermost=True)

    def forward(self, line: Tensor, screen: Tensor, code: Tensor, draws: Draws | None = None) -> Tensor:
        """Return colours, without the line that the page is then multiplied by.

        Args:
            line: ``(B, 1, H, W)`` float in [-1, 1], the line drawing as it is; sides multiples of 256.
            screen: ``(B, 4, H, W)`` float, the ScreenVAE encoder's mean.
            code: ``(B, code)`` float, drawn, or of `StyleCodeEncoder`.
            draws: Noise of the innermost level; None for none (above 256 pixels officially random).

        Returns:
            ``(B, 3, H, W)`` float in [-1, 1].
        """
        mapped = self.mapping["func"](code)
        return torch.tanh(self.model(torch.cat([line, screen], dim=1), mapped, draws or Draws()))


class StyleCodeEncoder(nn.Module):
    """The network of ``latest_net_E.pth``.

    Args:
        width: Channels of the first convolution (official: 48).
        code: Length of the style code (official: 64).
    """

    def __init__(self, width: int = 48, code: int = 64) -> None:
        super().__init__()
        widths = pairwise((3, width, 2 * width, 4 * width, 8 * width, 8 * width))
        self.conv = nn.ModuleDict({str(2 * i): SpectralConv2d(*pair, stride=2) for i, pair in enumerate(widths)})
        self.fc = nn.ModuleDict({"0": SpectralLinear(16 * 8 * width, code)})
        self.fcVar = nn.ModuleDict({"0": SpectralLinear(16 * 8 * width, code)})

    def forward(self, page: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the style code, ``(B, code)`` each, of ``(B, 3, H, W)`` float in [-1, 1]."""
        x = page
        for conv in self.conv.values():
            x = leaky(conv(x))
        flat = F.adaptive_avg_pool2d(x, 4).flatten(1)
        return self.fc["0"](flat), self.fcVar["0"](flat)
