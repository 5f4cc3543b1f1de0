"""The fusion network's norm, and its residual blocks a few rows at a time: the same numbers in less memory.

Layer by layer over the whole page, so that every convolution runs once and a norm can have statistics of the whole
page: those of the tiles are merged (Chan, Golub and LeVeque 1983). One row above and below makes a tile exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, instance_norm, pad, relu

NormMode = Literal["batch", "running"]

Rows = Callable[[int, int], Tensor]
"""Rows from one number up to another of a feature map, ``(B, C, rows, w)``."""


class PageNorm(nn.BatchNorm2d):
    """Batch normalization whose statistics are each page's own (``batch``) or those kept from training (``running``).

    ``batch`` is what the released demo computes: it leaves the network in training mode and shows it one page at a
    time, so that the "batch" is a page. Here every page of a batch is normalized alone, in training as at inference;
    with one page that equals batch normalization. The running statistics are still kept while training.
    ``running`` is textbook batch normalization: statistics of the whole batch in training, kept ones afterwards.
    """

    norm_mode: NormMode = "batch"

    def forward(self, input: Tensor) -> Tensor:  # the name that torch gave it
        """Normalize ``(B, C, h, w)``; not one pixel alone in mode ``batch``."""
        if self.norm_mode == "running":
            return super().forward(input)
        mean, variance = self.running_mean, self.running_var
        if not self.training:
            mean = variance = None  # so that inference changes nothing
        elif self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return instance_norm(input, mean, variance, self.weight, self.bias, True, self.momentum or 0.1, self.eps)


class PageStatistics:
    """Mean and variance of every channel of every page, gathered tile by tile.

    Args:
        norm: In mode ``running`` its kept statistics are used and tiles are not looked at.
    """

    def __init__(self, norm: PageNorm) -> None:
        self.norm, self.count = norm, 0
        self.kept = norm.norm_mode == "running"

    def add(self, tile: Tensor) -> None:
        """Take a tile ``(B, C, rows, w)`` in; its own statistics are at least float32, merged they are float64."""
        if self.kept:
            return
        count = tile.shape[-2] * tile.shape[-1]
        variance, mean = torch.var_mean(tile.to(_wide(tile)), dim=(2, 3), correction=0)
        variance, mean = variance.double(), mean.double()
        if not self.count:
            self.mean, self.squares = mean, variance * count
        else:
            total, step = self.count + count, mean - self.mean
            self.mean = self.mean + step * (count / total)
            self.squares = self.squares + variance * count + step.square() * (self.count * count / total)
        self.count += count

    def normalize(self, tile: Tensor) -> Tensor:
        """A tile ``(B, C, rows, w)`` under the norm with what was gathered, in the tile's dtype."""
        norm, wide = self.norm, _wide(tile)
        if self.kept:
            return batch_norm(tile, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
        pages = len(tile)
        weight, bias = (value.to(wide).repeat(pages) for value in (norm.weight, norm.bias))
        mean, variance = (value.to(wide).flatten() for value in (self.mean, self.squares / self.count))
        beside = tile.reshape(1, -1, *tile.shape[2:])  # pages as channels: each has statistics of its own
        return batch_norm(beside, mean, variance, weight, bias, False, 0.0, norm.eps).reshape(tile.shape)


def run_tiled(blocks: Iterable[nn.Module], features: list[Tensor], rows: int) -> Tensor:
    """Residual blocks one after another, each a few rows at a time; without gradients.

    Args:
        blocks: `ResidualBlock`s, in evaluation mode.
        features: Feature maps ``(B, C_i, h, w)`` that stand beside each other in the channels of the first block's
            input. The list is emptied as they are used up, so that their memory is free if nobody else holds them.
        rows: Height of a tile, at least 1.

    Returns:
        ``(B, C, h, w)``, what the blocks give for the whole of it, up to rounding.
    """
    for block in blocks:
        features[:] = [_run_block(block, features, rows)]
    return features.pop()


def _run_block(block: Any, features: list[Tensor], rows: int) -> Tensor:
    """Both convolutions and the sum go through one buffer, each in the place of what it was made of."""
    height, width = features[0].shape[-2:]
    buffer = features[0].new_empty(len(features[0]), block.conv1.out_channels, height, width)

    def read(first: int, last: int) -> Tensor:
        return torch.cat([feature[..., first:last, :] for feature in features], dim=1)

    shortcut = _Shortcut(block.shortcut)
    inner, outer = PageStatistics(block.bn1), PageStatistics(block.bn2)
    for first, last in _tiles(height, rows):
        tile = _convolve(block.conv1, read, first, last, height)
        inner.add(tile)
        shortcut.add(read, first, last)
        buffer[..., first:last, :] = tile
    for first, last, tile in _convolve_in_place(block.conv2, buffer, inner, rows):
        outer.add(tile)
        buffer[..., first:last, :] = tile
    for first, last in _tiles(height, rows):
        residual = outer.normalize(buffer[..., first:last, :])
        buffer[..., first:last, :] = relu(residual + shortcut(read(first, last)))
    return buffer


class _Shortcut:
    """A block's shortcut; a 1 x 1 convolution runs twice, for its statistics and for its result."""

    def __init__(self, shortcut: nn.Sequential) -> None:
        self.conv: Any
        norm: Any
        self.conv, norm = tuple(shortcut) or (None, None)
        self.statistics = None if norm is None else PageStatistics(norm)

    def add(self, read: Rows, first: int, last: int) -> None:
        if self.statistics is not None and not self.statistics.kept:
            self.statistics.add(self.conv(read(first, last)))

    def __call__(self, tile: Tensor) -> Tensor:
        return tile if self.statistics is None else self.statistics.normalize(self.conv(tile))


def _wide(tile: Tensor) -> torch.dtype:
    """What statistics of a tile are computed in, as torch does for whole pages."""
    return torch.promote_types(tile.dtype, torch.float32)


def _tiles(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """First row and the one after the last of every tile."""
    return ((first, min(first + rows, height)) for first in range(0, height, rows))


def _convolve(conv: nn.Conv2d, read: Rows, first: int, last: int, height: int) -> Tensor:
    """Rows of a 3 x 3 convolution: one more row is read on either side, zeros beyond the page."""
    tile = read(max(first - 1, 0), min(last + 1, height))
    return conv2d(pad(tile, (1, 1, int(first == 0), int(last == height))), conv.weight)


def _convolve_in_place(
    conv: nn.Conv2d, buffer: Tensor, statistics: PageStatistics, rows: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Tiles of ``conv(relu(norm(buffer)))``, each to be written over its rows before the next is asked for."""
    height = buffer.shape[-2]
    above = buffer[..., :0, :]  # the row before the tile, as it was

    def read(first: int, last: int) -> Tensor:
        tile = torch.cat([above, buffer[..., first + above.shape[-2] : last, :]], dim=-2)
        return relu(statistics.normalize(tile))

    for first, last in _tiles(height, rows):
        tile = _convolve(conv, read, first, last, height)
        above = buffer[..., last - 1 : last, :].clone()
        yield first, last, tile
