"""FFDNet for RGB, which takes noise of a given strength from a page before it is coloured; official parameter names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorflow.baselines.mcv2.resize import resize_area

_WIDTH = 96
_MIDDLE = 10
LONGEST = 1200
"""Pixels of the longer side; larger pages are reduced to it and stay so (official)."""


def _stack() -> nn.Sequential:
    """Convolutions without biases, batch norms in the middle ones; the name inside is the official spelling."""
    layers: list[nn.Module] = [nn.Conv2d(15, _WIDTH, 3, padding=1, bias=False), nn.ReLU()]
    for _ in range(_MIDDLE):
        layers += [nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU()]
    layers.append(nn.Conv2d(_WIDTH, 12, 3, padding=1, bias=False))
    return nn.Sequential(OrderedDict(itermediate_dncnn=nn.Sequential(*layers)))


class Denoiser(nn.Module):
    """FFDNet-RGB: works on pages of half the size with four times the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.intermediate_dncnn = _stack()

    def forward(self, page: Tensor, sigma: float) -> Tensor:
        """Return the page without its noise.

        Args:
            page: ``(B, 3, H, W)`` float in [0, 1], even sides.
            sigma: Standard deviation of the noise, in levels of 255.

        Returns:
            ``(B, 3, H, W)`` float in [0, 1].
        """
        halved = F.pixel_unshuffle(page, 2)
        strength = torch.full_like(halved[:, :3], sigma / 255)
        noise = F.pixel_shuffle(self.intermediate_dncnn(torch.cat([strength, halved], 1)), 2)
        return (page - noise).clamp(0, 1)


@torch.no_grad()
def denoise(network: Denoiser, pages: Sequence[np.ndarray], sigma: float) -> np.ndarray:
    """Denoise pages of one size, any.

    Args:
        network: In eval mode.
        pages: B of ``(H, W, 3)`` float32 RGB in [0, 1].
        sigma: As for `Denoiser`.

    Returns:
        ``(B, h, w, 3)`` uint8 **BGR**, cut off below the point, as released; smaller where a side was over `LONGEST`.
    """
    height, width = pages[0].shape[:2]
    if max(height, width) > LONGEST:
        factor = max(height, width) / LONGEST
        height, width = int(height / factor), int(width / factor)
        pages = [resize_area(pixels, (width, height)) for pixels in pages]
    device = next(network.parameters()).device
    batch = torch.from_numpy(np.stack(pages)).permute(0, 3, 1, 2).to(device)
    batch = F.pad(batch, (0, width % 2, 0, height % 2), mode="replicate")
    clean = network(batch, sigma)[..., :height, :width]
    levels = (clean * 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(levels[..., ::-1])
