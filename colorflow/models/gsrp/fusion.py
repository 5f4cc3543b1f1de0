"""The fusion network of guided super-resolution (paper section 3.3, module F; released code 5.3).

Parameter names and shapes are those of the released ``MultiResNetModel.bin``, so that their files load strictly
("two_layer_resnets" is their name for four residual blocks a level).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import relu

from colorflow.models.gsrp.row_tiling import NormMode, PageNorm, run_tiled

UpsampleMode = Literal["bilinear", "bicubic"]

_BLOCKS = ("block1", "block2", "block3", "block4")


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with norms beside a shortcut, ReLU after the sum (He et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = PageNorm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = PageNorm(out_channels)
        self.shortcut = nn.Sequential()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), PageNorm(out_channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, in_channels, h, w)`` to ``(B, out_channels, h, w)``, at least 0."""
        residual = self.bn2(self.conv2(relu(self.bn1(self.conv1(hidden)))))
        return relu(residual + self.shortcut(hidden))


class ResidualStack(nn.Module):
    """Four residual blocks; the first changes the width."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        for number, name in enumerate(_BLOCKS):
            self.add_module(name, ResidualBlock(out_channels if number else in_channels, out_channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, in_channels, h, w)`` to ``(B, out_channels, h, w)``."""
        for block in self.children():
            hidden = block(hidden)
        return hidden


class FusionNetwork(ModelMixin, ConfigMixin):
    """Fuses the encoder features of the colour result and of the black-and-white page, level by level.

    A VAE of N levels has N + 1 tapped features: after the input convolution and after every down block, C =
    ``[c_0, c_0, ..., c_(N-1)]`` wide. Feature i of both images, 2 C_i wide, becomes C_min(i+2, N) wide: exactly what
    the decoder holds where the feature joins it (released code 5, SD: 256, 512, 512, 512, 512).

    Each page is normalized by its own statistics (``batch``), in training as well: training and inference then compute
    the same function, and a page's result depends on that page alone. docs/deviations.md compares it with ``running``.

    Args:
        block_out_channels: Width of each level of the VAE.
        norm_mode: ``batch`` or ``running``, see `PageNorm`.
        upsample_mode: How `GSRPModel` brings the colour result to the page's size; kept here because it has to go
            where the weights go. ``bilinear`` (the paper: linearly), or ``bicubic`` with Pillow's kernel (released).

    Raises:
        ValueError: For an unknown mode.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        norm_mode: NormMode = "batch",
        upsample_mode: UpsampleMode = "bilinear",
    ) -> None:
        super().__init__()
        _check("upsample_mode", upsample_mode, get_args(UpsampleMode))
        widths = tap_widths(block_out_channels)
        last = len(widths) - 1
        stacks = [ResidualStack(2 * width, widths[min(level + 2, last)]) for level, width in enumerate(widths)]
        self.two_layer_resnets = nn.ModuleList(stacks)
        self.set_norm_mode(norm_mode)
        self.row_tile: int | None = None

    def set_norm_mode(self, norm_mode: NormMode) -> None:
        """Switch every norm.

        Raises:
            ValueError: For another mode.
        """
        _check("norm_mode", norm_mode, get_args(NormMode))
        self.register_to_config(norm_mode=norm_mode)
        for module in self.modules():
            if isinstance(module, PageNorm):
                module.norm_mode = norm_mode

    def set_row_tile(self, rows: int | None) -> None:
        """Work through feature maps ``rows`` rows at a time: less memory, the same result up to rounding.

        Only in evaluation mode without gradients; training keeps every feature map anyway. None, the initial state, is
        one map at a time. Not kept with the weights: it belongs to the machine.

        Raises:
            ValueError: For fewer rows than 1.
        """
        if rows is not None and rows < 1:
            raise ValueError(f"row_tile: expected None or at least 1 row, got {rows}")
        self.row_tile = rows

    def forward(self, color: Sequence[Tensor], gray: Sequence[Tensor]) -> list[Tensor]:
        """Fuse the features of both images.

        Args:
            color: N + 1 features ``(B, C_i, h_i, w_i)`` of the upsampled colour result, finest first.
            gray: The same of the black-and-white page.

        Returns:
            N + 1 features ``(B, C_min(i+2, N), h_i, w_i)``, at least 0, finest first.
        """
        return list(self.coarse_to_fine(list(color), list(gray)))[::-1]

    def coarse_to_fine(self, color: list[Tensor], gray: list[Tensor]) -> Iterator[Tensor]:
        """The same, coarsest first, each fused when it is asked for: the finest hold most of the memory.

        Args:
            color: As `forward` takes them; the list is emptied on the way, so that features are freed once used.
            gray: The same.

        Raises:
            ValueError: If there are not as many features as levels.
        """
        levels = len(self.two_layer_resnets)
        if not levels == len(color) == len(gray):
            raise ValueError(f"fusion: expected {levels} features of either image, got {len(color)} and {len(gray)}")
        rows = None if self.training or torch.is_grad_enabled() else self.row_tile
        for stack in reversed(self.two_layer_resnets):
            features = [color.pop(), gray.pop()]
            yield stack(_joined(features)) if rows is None else run_tiled(stack.children(), features, rows)


def _joined(features: list[Tensor]) -> Tensor:
    """Side by side in the channels; the list is emptied."""
    joined = torch.cat(features, dim=1)
    features.clear()
    return joined


def tap_widths(block_out_channels: Sequence[int]) -> list[int]:
    """Channels of the tapped encoder features: the input convolution's, then every down block's."""
    return [block_out_channels[0], *block_out_channels]


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
