"""What ports share: official files, one network a file, strictly; the row of one without references; batches.

None of the ported networks mixes the samples of a batch in eval mode, so that a page's result is, up to rounding, what
it would be alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from colorflow.methods import MethodSpec, Rows
from colorflow.utils.hashing import digest_json
from colorflow.utils.tensors import fill

Network = TypeVar("Network", bound=nn.Module)


def load_network(build: Callable[[], Network], file: Path, tensors: Mapping[str, Tensor], what: str) -> Network:
    """Build a frozen network in eval mode from the tensors of its file, which must be all of it and nothing else.

    Args:
        build: Makes the network; all of its tensors must be in its state.
        file: Where the tensors are from, for messages.
        tensors: By the names of the network's state.
        what: What the file should be, for messages.

    Raises:
        CheckpointError: Naming what is missing, unexpected, misshapen or not finite.
    """
    with torch.device("meta"):
        network = build()
    fill(network, file, tensors, what)
    return network.eval().requires_grad_(False)


def port_row(load: Callable[[str], Any], device: str, label: str) -> Rows:
    """The row of a ported system.

    Its files are read at once, so that a wrong one is told before anything is coloured, and again when pages are due: a
    table of many systems holds one at a time.

    Args:
        load: Makes the method, with its name, settings and digests, on a device.
        device: ``auto`` takes the GPU where there is one.
        label: As for `MethodSpec`.
    """
    method = load("cpu")
    fingerprint = digest_json([type(method).__name__, method.digests, asdict(method.settings)])
    return {method.name: MethodSpec(lambda: load(device), "none", fingerprint, label=label)}


Item = TypeVar("Item")
Result = TypeVar("Result")


def together(
    items: Sequence[Item], key: Callable[[Item], Hashable], work: Callable[[list[Item]], Iterable[Result]]
) -> list[Result]:
    """Hand items of equal keys over together.

    Args:
        items: Anything.
        key: What items that go together have in common.
        work: Returns a result for each item that it is given, in their order.

    Returns:
        A result an item, in the order of the items.

    Raises:
        ValueError: For fewer or more results than items.
    """
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(key(item), []).append(place)
    results: dict[int, Result] = {}
    for places in groups.values():
        results.update(zip(places, work([items[place] for place in places]), strict=True))
    return [results[place] for place in range(len(items))]
