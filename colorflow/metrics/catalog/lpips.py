"""Learned perceptual distance of a page from its truth (Zhang et al. 2018); 0 for identical pages."""

from __future__ import annotations

import warnings

import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.metrics.networks import PageNetwork, pixels
from colorflow.metrics.spec import MetricSettings, MetricSpec
from colorflow.metrics.weights import alexnet_file, find_weights, load_state
from colorflow.utils.seeding import fixed_draws
from colorflow.utils.tensors import digest_weights


def lpips(settings: MetricSettings) -> PageNetwork:
    """LPIPS 0.1 on AlexNet over pairs of pages; answers ``(B, 1)``.

    The calibrated linear weights come with the lpips package, AlexNet's from torchvision.

    Raises:
        MissingWeightsError, WrongWeightsError: As ``find_weights``.
    """
    module = Lpips(load_state(find_weights(alexnet_file(), settings.folder)))
    digest = digest_weights(module)
    return PageNetwork(
        "lpips", "lpips-0.1-alex", _pair_pixels, module, digest, settings.place, settings.batch_size, pairs=True
    )


class Lpips(nn.Module):
    """LPIPS over ``(B, 2, 3, H, W)`` in [0, 1].

    Args:
        state: Of torchvision's AlexNet.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        from lpips import LPIPS

        with warnings.catch_warnings(), fixed_draws():
            warnings.simplefilter("ignore", UserWarning)  # lpips 0.1.4 builds AlexNet by torchvision's older spelling
            self.network = LPIPS(net="alex", pnet_rand=True, verbose=False)
        # The package cuts torchvision's ``features`` into slices and keeps the layers' numbers.
        names = self.network.net.state_dict()
        self.network.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in names})

    def forward(self, pairs: Tensor) -> Tensor:
        """Return ``(B, 1)``."""
        distances: Tensor = self.network(pairs[:, 0], pairs[:, 1], normalize=True)
        return distances.flatten(1)


def _pair_pixels(first: Image.Image, second: Image.Image) -> Tensor:
    return torch.stack((pixels(first), pixels(second))) / 255


def _only(distances: Tensor) -> Tensor:
    return distances[:, 0].double()


SPEC = MetricSpec(
    key="lpips",
    label="LPIPS",
    decimals=4,
    higher_is_better=False,
    definition="LPIPS 0.1 on AlexNet at the metric size; mean over pages",
    sees="pair",
    function=_only,
    network=lpips,
)
