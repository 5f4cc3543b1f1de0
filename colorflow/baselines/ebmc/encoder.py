"""Reference picture to colour code: a VGG-19 up to its ``relu5_2``, six convolutions and an average."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.vgg import make_layers

_CONVOLUTIONS = (2, 2, 4, 4, 4)
_RELU5_2 = 32
"""Layers of the VGG that are run."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SLOPE = 0.2


class _Vgg19(nn.Module):
    """torchvision's VGG-19 as the file has it: with its classifier, which never runs."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        counts = enumerate(_CONVOLUTIONS)
        self.features = make_layers([part for level, n in counts for part in (*[width * min(2**level, 8)] * n, "M")])
        linear = {"0": (8 * width * 49, hidden), "3": (hidden, hidden), "6": (hidden, 1000)}
        self.classifier = nn.ModuleDict({slot: nn.Linear(*sizes) for slot, sizes in linear.items()})


class _Features(nn.Module):
    """The file holds each feature tensor twice, under both names; here they are the same modules."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.vgg_model = _Vgg19(width, hidden)
        self.vgg_feature = nn.Sequential(*self.vgg_model.features)

    def forward(self, picture: Tensor) -> Tensor:
        mean, std = (picture.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
        return self.vgg_feature[:_RELU5_2]((picture - mean) / std)


class ColorEncoder(nn.Module):
    """The network under ``colorEncoder``.

    Args:
        width: Channels of the VGG's first level (official: 64); the code has eight times as many.
        hidden: Width of its classifier (official: 4096).
    """

    def __init__(self, width: int = 64, hidden: int = 4096) -> None:
        super().__init__()
        self.vgg = _Features(width, hidden)
        deep, narrow = 8 * width, 4 * width

        def act() -> nn.Module:
            return nn.LeakyReLU(_SLOPE)

        self.feature2vector = nn.Sequential(
            *(nn.Conv2d(deep, deep, 4, 2, 2), act(), nn.Conv2d(deep, deep, 3, padding=1), act()),
            *(nn.Conv2d(deep, deep, 4, 2, 2), act(), nn.Conv2d(deep, deep, 3, padding=1), act()),
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(deep, narrow, 1), act(), nn.Conv2d(narrow, narrow, 1), act()),
            nn.Conv2d(narrow, deep, 1),
        )

    def forward(self, reference: Tensor) -> Tensor:
        """Return the colour code, ``(B, 512, 1, 1)``, of ``(B, 3, H, W)`` float RGB in [0, 1]."""
        return self.feature2vector(self.vgg(reference))

    def check_copies(self, tensors: dict[str, Tensor]) -> list[str]:
        """Keys of the VGG whose two copies in a state differ: which one would be run is not known."""
        name = "vgg.vgg_feature."
        return [
            key
            for key, value in tensors.items()
            if key.startswith(name)
            and not torch.equal(value, tensors[f"vgg.vgg_model.features.{key.removeprefix(name)}"])
        ]

    def drop_classifier(self) -> None:
        """Free the part that never runs (three quarters of the parameters)."""
        self.vgg.vgg_model.classifier = nn.ModuleDict()
