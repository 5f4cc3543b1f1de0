"""The FID Inception, under FID and KID, with the preprocessing it is defined by."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.metrics.networks import PageNetwork, pixels
from colorflow.metrics.spec import MetricSettings
from colorflow.metrics.weights import INCEPTION, find_weights, load_state
from colorflow.utils.seeding import fixed_draws
from colorflow.utils.tensors import digest_weights

INCEPTION_SIDE = 299

NOTE = "FID and KID are of all pages together and have none; compare them at equal numbers of pages only."
"""In captions, after the words on intervals."""


def inception(settings: MetricSettings) -> PageNetwork:
    """The FID Inception (TensorFlow port, the 2,048 features of the last pooling).

    Args:
        settings: ``fid_resize`` and where.

    Raises:
        MissingWeightsError, WrongWeightsError: As ``find_weights``.
        ValueError: For another resize rule.
    """
    prepares: dict[str, Callable[[Image.Image], Tensor]] = {"clean": clean_pixels, "legacy": legacy_pixels}
    if settings.fid_resize not in prepares:
        raise ValueError(f"fid_resize: expected one of {', '.join(prepares)}, got {settings.fid_resize!r}")
    network = fidelity_inception(load_state(find_weights(INCEPTION, settings.folder)))
    digest, name = digest_weights(network), f"inception-2048-{settings.fid_resize}"
    prepare, module = prepares[settings.fid_resize], FoldedInception(network)
    return PageNetwork("inception", name, prepare, module, digest, settings.place, settings.batch_size)


class FoldedInception(nn.Sequential):
    """The layers of torch-fidelity's Inception up to the pooled features, without its resize.

    Batch norms are folded into their convolutions and planes come last: the same features to 1e-6 of their
    size, about 1.5 times as fast on a CPU (``perf/metrics.py``).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(*(layer for name, layer in network.named_children() if name != "fc"), nn.Flatten())
        for block in list(self.modules()):
            if isinstance(conv := getattr(block, "conv", None), nn.Conv2d):
                block.conv = nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), cast(nn.BatchNorm2d, block.bn).eval())
                block.bn = nn.Identity()
        self.to(memory_format=torch.channels_last)

    def forward(self, levels: Tensor) -> Tensor:
        """Return ``(B, 2048)`` of ``(B, 3, 299, 299)`` in [0, 255]."""
        return super().forward(((levels - 128) / 128).contiguous(memory_format=torch.channels_last))


def fidelity_inception(state: dict[str, Any] | None) -> nn.Module:
    """Build torch-fidelity's network and fill it, strictly; its constructor would fetch weights by itself."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unfilled(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Take nothing of what the constructor reads."""

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with fixed_draws():
        network: nn.Module = Unfilled("inception", ["2048"], nothing)
    if state is not None:
        nn.Module.load_state_dict(network, state, strict=True)
    return network.eval()


def clean_pixels(page: Image.Image) -> Tensor:
    """Squash to 299 x 299, channel by channel in float, as clean-fid does."""
    side = (INCEPTION_SIDE, INCEPTION_SIDE)
    planes = [np.asarray(band.convert("F").resize(side, Image.Resampling.BICUBIC)) for band in page.split()]
    return torch.from_numpy(np.stack(planes).clip(0, 255))


def legacy_pixels(page: Image.Image) -> Tensor:
    """Squash to 299 x 299 as TensorFlow 1 did."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    side = (INCEPTION_SIDE, INCEPTION_SIDE)
    squashed: Tensor = interpolate_bilinear_2d_like_tensorflow1x(pixels(page)[None], size=side, align_corners=False)
    return squashed[0]
