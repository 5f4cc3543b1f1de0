"""Ported systems colour pages together as they do one by one: what their tests share."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.schema import NATIVE_SIZE, BatchColorizer, Colorizer, PoolColorizer, ReferencePool

Result = TypeVar("Result")


def passes_of(network: nn.Module, work: Callable[[], Result]) -> tuple[Result, list[Tensor]]:
    """The result of some work, and what a network gave in each pass of it."""
    passes: list[Tensor] = []
    handle = network.register_forward_hook(lambda module, inputs, output: passes.append(output))
    try:
        return work(), passes
    finally:
        handle.remove()


def assert_as_alone(
    method: Colorizer,
    network: nn.Module,
    pages: Sequence[Image.Image],
    pools: Sequence[ReferencePool],
    together: Sequence[Sequence[int]],
) -> None:
    """Pages in a batch are what they are alone; ``together``: places of those that the network gets in each pass."""
    assert isinstance(method, BatchColorizer)
    assert not isinstance(method, PoolColorizer), "it need not get whole chapters"
    seeds = range(1, len(pages) + 1)
    found, passes = passes_of(network, lambda: method.colorize_batch(pages, pools, seeds=seeds))
    each = zip(pages, pools, seeds, strict=True)
    alone, single = passes_of(network, lambda: [method.colorize(page, pool, seed=seed) for page, pool, seed in each])
    assert [len(output) for output in passes] == [len(places) for places in together]
    for output, places in zip(passes, together, strict=True):
        expected = torch.cat([single[place] for place in places])
        torch.testing.assert_close(output, expected, rtol=0, atol=5e-3 * expected.std().item())
    for image, expected_image in zip(found, alone, strict=True):
        assert (image.mode, image.size) == ("RGB", expected_image.size)
        assert image.info.get(NATIVE_SIZE) == expected_image.info.get(NATIVE_SIZE)
        away = np.abs(np.asarray(image).astype(int) - np.asarray(expected_image))
        assert away.max() <= 2, "levels are cut off below the point; ACDO's finish doubles one"
        assert (away > 0).mean() < 0.01
