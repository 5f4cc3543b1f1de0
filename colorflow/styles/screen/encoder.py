"""Screentone to screen code (the encoder of ScreenVAE): what a manga page's tones are, as four smooth maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorflow.styles.screen.blocks import double, layer_norm, pad, pad_to_next_128

_RESIDUAL = tuple(str(slot) for slot in range(16, 22))


class _Residual(nn.Module):
    """Two 3 x 3 convolutions with layer norms beside the identity; nothing after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.ModuleDict({slot: nn.Conv2d(channels, channels, 3) for slot in ("1", "5")})

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(layer_norm(self.conv_block["1"](pad(x, 1))))
        return x + layer_norm(self.conv_block["5"](pad(inner, 1)))


class ScreenEncoder(nn.Module):
    """The network of ScreenVAE's ``latest_net_enc.pth``.

    Args:
        width: Channels of the first convolution (official: 24).
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"1": nn.Conv2d(2, width, 7)})
        for step, slot in enumerate(("5", "9", "13")):
            self.model[slot] = nn.Conv2d(width * 2**step, width * 2 ** (step + 1), 3, stride=2)
        for slot in _RESIDUAL:
            self.model[slot] = _Residual(8 * width)
        for step, slots in enumerate((("23", "27"), ("31", "35"), ("39", "43"))):
            inputs, outputs = width * 2 ** (3 - step), width * 2 ** (2 - step)
            self.model[slots[0]] = nn.Conv2d(inputs, outputs, 1)
            self.model[slots[1]] = nn.Conv2d(outputs, outputs, 3)
        self.model["47"] = nn.Conv2d(width, 8, 7)

    def forward(self, manga: Tensor, line: Tensor) -> Tensor:
        """Return the mean of the screen code.

        Args:
            manga: ``(B, 1, H, W)`` float in [-1, 1], the page.
            line: ``(B, 1, H, W)`` float in [-1, 1], its line drawing; where it is dark, the page counts as white.

        Returns:
            ``(B, 4, H, W)`` float.
        """
        height, width = manga.shape[-2:]
        bright = line.sign()
        x = torch.cat([(manga + 1 - bright).clamp(-1, 1), bright], dim=1)
        return self._encode(pad_to_next_128(x))[:, :4, :height, :width]

    def _encode(self, x: Tensor) -> Tensor:
        x = self._step("1", pad(x, 3))
        for slot in ("5", "9", "13"):
            x = self._step(slot, pad(x, 1))
        for slot in _RESIDUAL:
            x = self.model[slot](x)
        for first, second in (("23", "27"), ("31", "35"), ("39", "43")):
            x = self._step(second, pad(self._step(first, double(x)), 1))
        return self.model["47"](pad(x, 3))

    def _step(self, slot: str, x: Tensor) -> Tensor:
        return F.relu(layer_norm(self.model[slot](x)))
