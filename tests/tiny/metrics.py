"""The metrics by networks with tiny random ones in their place, found by dotted names as any other package's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.metrics import MetricSettings, MetricSpec, PageNetwork, find_metric
from colorflow.metrics.networks import pixels
from colorflow.utils.tensors import digest_weights

_THUMBNAIL = 12


class _Thumbnails(nn.Module):
    """One random linear layer, the same in every process."""

    def __init__(self, dimensions: int, pairs: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * _THUMBNAIL**2, dimensions)
        self.pairs = pairs
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.linear.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, batch: Tensor) -> Tensor:
        if not self.pairs:
            return self.linear(batch.flatten(1))
        return (self.linear(batch[:, 0].flatten(1)) - self.linear(batch[:, 1].flatten(1))).abs().mean(1, keepdim=True)


def random_network(
    dimensions: int = 32, *, pairs: bool = False, batch_size: int = 8, name: str = "random"
) -> PageNetwork:
    """A linear layer over a thumbnail; over pairs the mean absolute difference of their features, ``(B, 1)``."""
    module = _Thumbnails(dimensions, pairs)
    prepare = _thumbnails if pairs else _thumbnail
    identity = f"thumbnail-{dimensions}" + ("-pairs" if pairs else "")
    device = torch.device("cpu")
    return PageNetwork(name, identity, prepare, module, digest_weights(module), device, batch_size, pairs)


def _thumbnail(page: Image.Image) -> Tensor:
    return pixels(page.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)) / 255


def _thumbnails(first: Image.Image, second: Image.Image) -> Tensor:
    return torch.stack((_thumbnail(first), _thumbnail(second)))


def _builder(name: str, dimensions: int = 32, pairs: bool = False) -> Callable[[MetricSettings], PageNetwork]:
    return lambda settings: random_network(dimensions, pairs=pairs, batch_size=settings.batch_size, name=name)


def _by(key: str, network: Callable[[MetricSettings], PageNetwork]) -> MetricSpec:
    return replace(find_metric(key), network=network)


_inception = _builder("inception")

LPIPS = _by("lpips", _builder("lpips", pairs=True))
CLIP_IS = _by("clip_is", _builder("clip"))
FID, KID = (_by(key, _inception) for key in ("fid", "kid"))
AESTHETIC = _by("aesthetic", _builder("aesthetic", 1))

PIXELS = ("psnr", "ssim", "chroma_psnr", "ciede2000")
PAGES = (*PIXELS, "lpips", "clip_is", "aesthetic")
"""Keys of metrics of pixels, and of all with a value a page."""

TINY = {name: f"tiny.metrics:{name.upper()}" for name in ("lpips", "clip_is", "fid", "kid", "aesthetic")}
"""Names for ``metrics.names`` by key."""

ALL = (*PIXELS, *TINY.values(), "color_identity")
KEYS = (*PIXELS, *TINY, "color_identity")
