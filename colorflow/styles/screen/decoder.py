"""Screen code to screentone (the decoder of ScreenVAE): a seven-level U-Net whose skips are concatenated.

Officially it is never put into eval mode: two dropouts and three maps of Gaussian noise are drawn on every call.
Here they are drawn from generators, one a sample, or left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colorflow.styles.screen.blocks import ChannelScale, double, layer_norm, leaky, pad

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
