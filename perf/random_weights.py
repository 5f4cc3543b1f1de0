"""Random weights whose answers differ from page to page, so that a test through them can find a mistake.

A deep network as its library initializes it answers nearly the same for every page: the signal fades layer by layer,
and what is left is the biases'. Such features would hide a mixed-up page, and their Frechet distance is rounding error.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from colorflow.utils.seeding import generator


def fill_randomly(network: nn.Module, layers: nn.Module, pictures: Tensor) -> None:
    """Fill a network of convolutions, batch norms and linear layers, the same in every process.

    Weights are He's (He et al. 2015, eq. 10), those of a filter with mean zero, so that an even brightness, which no
    picture tells beforehand, does not grow from layer to layer; biases are zero. Every batch norm gets the statistics
    that it meets on the pictures: zero mean and unit variance there, whatever lies below.

    Args:
        network: What is filled; left in evaluation mode.
        layers: The part that is run: maps ``pictures`` to features, through the batch norms of ``network``.
        pictures: ``(B, 3, H, W)`` as ``layers`` takes them.
    """
    source = generator("random weights")
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=source)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.Conv2d):
            module.weight.data -= module.weight.data.mean(dim=(1, 2, 3), keepdim=True)
    for norm in norms:
        norm.reset_parameters()
        norm.momentum = None  # the plain mean over batches, of which there is one
    with torch.no_grad():
        layers.train()(pictures)
    network.eval()


def calibration_pictures(count: int = 6, side: int = 203) -> Tensor:
    """Flat squares of gray and colour of several sizes, ``(count, 3, side, side)`` float in [-1, 1], always the same.

    With hard edges, as pages have them, and no smaller: deep layers of a small picture see little but its margin.
    """
    source = generator("calibration pictures")
    pictures = 2 * torch.rand(count, 1, 1, 1, generator=source).expand(-1, 3, side, side) - 1
    for cells in (3, 9, 27, 81, side):
        for channels, strength in ((3, 1), (1, 2)):
            squares = torch.rand(count, channels, cells, cells, generator=source) - 0.5
            pictures = pictures + strength * interpolate(squares, (side, side))
    return pictures.clamp(-1, 1)
