"""The U-Net of ACDO as it was trained, under fastai 1.0.51; ``layers`` has the places of the official files.

Fact: that version blurs after the last pixel shuffle too, which later ones (of the same parameter names) do not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet34

from colorflow.baselines.acdo.blocks import (
    Residual,
    Shuffle,
    SpectralConv2d,
    UpBlock,
    WeightNormConv2d,
    conv_block,
)

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
