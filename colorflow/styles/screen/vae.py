"""ScreenVAE: screentone to screen code, four smooth maps of what a page's tones are, and back.

The decoder is officially never put into eval mode: two dropouts and three maps of Gaussian noise are drawn on every
call. Here they are drawn from generators, one a sample, or left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorflow.styles.screen.blocks import ChannelScale, double, layer_norm, leaky, pad, pad_to_next_128

LEVELS = 7


@dataclass(frozen=True)
class Draws:
    """What the decoder draws, sample by sample: first the dropouts (inner, outer), then the noise maps, coarse to fine.

    Attributes:
        generators: One a sample, so that a page does not depend on the batch it is in; None draws nothing.
    """

    generators: Sequence[torch.Generator] | None = None

    def drop(self, x: Tensor) -> Tensor:
        """Return ``x`` with half of its values set to zero and the others doubled."""
        if self.generators is None:
            return x
        one = torch.empty(1, *x.shape[1:])
        kept = torch.cat([one.clone().bernoulli_(0.5, generator=generator) for generator in self.generators])
        return x * kept.div_(0.5).to(x)

    def noise(self, x: Tensor) -> Tensor | None:
        """Return standard-normal noise of ``x``'s shape, or None for none."""
        if self.generators is None:
            return None
        shape = (1, *x.shape[1:])
        return torch.cat([torch.randn(shape, generator=generator) for generator in self.generators]).to(x)


class _Level(nn.Module):
    """One level and all below it, up to the innermost: ``forward`` returns [what came up, skip]."""

    def __init__(self, widths: Sequence[int], depth: int) -> None:
        super().__init__()
        outer, inner, *below = widths
        self.innermost = not below
        self.noiseblock = ChannelScale(outer)
        # Levels 2 to 4 come up by a transposed convolution and end in noise, 5 and 6 bilinearly and end in dropout.
        self.transposed, self.dropout = depth <= 4, depth in (5, 6)
        self.slots = ("2", "4", "6", "10") if self.transposed else ("2", "4", "7", "11")
        if self.innermost:
            self.slots = ("2", "", "5", "9")
        down, middle, up, last = self.slots
        self.model = nn.ModuleDict({down: nn.Conv2d(outer, inner, 3, stride=2)})
        if not self.innermost:
            self.model[middle] = _Level((inner, *below), depth + 1)
        self.model[up] = _raise(inner if self.innermost else 2 * inner, outer, self.transposed)
        self.model[last] = nn.Conv2d(outer, outer, 3)

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        down, up, last = (self.model[self.slots[place]] for place in (0, 2, 3))
        skip = leaky(x)  # officially in place: the skip is activated, and the level above activates it again
        inner = down(pad(skip, 1))
        if not self.innermost:
            inner = self.model[self.slots[1]](layer_norm(inner), draws)
        inner = leaky(inner)
        raised = layer_norm(up(inner if self.transposed else double(inner)))
        raised = layer_norm(last(pad(leaky(raised), 1)))
        if self.dropout:
            raised = draws.drop(raised)
        if self.transposed:
            raised = self.noiseblock.apply_to_half(raised, draws.noise(raised))
        return torch.cat([raised, skip], dim=1)


class _Outermost(nn.Module):
    """The first level, which has neither skip nor noise and ends in a 7 x 7 convolution."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.noiseblock = ChannelScale(outputs)  # in the file, never used
        self.model = nn.ModuleDict({"1": nn.Conv2d(inputs, widths[0], 3, stride=2)})
        self.model["2"] = _Level(widths, depth=2)
        self.model["4"] = _raise(2 * widths[0], widths[0], transposed=True)
        self.model["8"] = nn.Conv2d(widths[0], outputs, 7)

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        inner = leaky(self.model["2"](self.model["1"](pad(x, 1)), draws))
        return self.model["8"](pad(leaky(layer_norm(self.model["4"](inner))), 3))


class ScreenDecoder(nn.Module):
    """The network of ScreenVAE's ``latest_net_dec.pth``.

    Args:
        width: Channels of the first level (official: 48); the fourth and all below have eight times as many.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.model = _Outermost(4, 1, [width * min(2**level, 8) for level in range(LEVELS)])

    def forward(self, code: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the screentone.

        Args:
            code: ``(B, 4, H, W)`` float in [-1, 1]; sides multiples of 128.
            draws: Dropout and noise; None for none.

        Returns:
            ``(B, 1, H, W)`` float, unbounded; -1 is black, 1 white.
        """
        return self.model(code, draws or Draws())


def _raise(inputs: int, outputs: int, transposed: bool) -> nn.Module:
    if transposed:
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    return nn.Conv2d(inputs, outputs, 1)


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
