"""Networks of the baselines, a few channels wide, in files of the official form; and retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from colorflow.baselines import screenvae
from colorflow.baselines.ebmc import EbmcNetworks, colorizer
from colorflow.baselines.screenvae import ScreenToColor
from colorflow.retrieval.encoders import HogEncoder
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.styles.lines import network as lines


def spread(module: nn.Module) -> dict[str, Tensor]:
    """The module's state with weights of a size at which what goes in is seen in what comes out."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
    return module.state_dict()


small_ebmc = partial(EbmcNetworks, 4, 3)
small_screens = partial(ScreenToColor, 4, 8, 4)


@contextmanager
def small_networks() -> Iterator[None]:
    """Let rows be made of small networks, and strictly so: official files are refused inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colorizer, "EbmcNetworks", small_ebmc)
        patch.setattr(screenvae, "ScreenToColor", small_screens)
        patch.setattr(lines, "_WIDTHS", (2, 3, 4, 5, 6))
        yield


def write_ebmc(file: Path) -> Path:
    """Write a file of small random networks, inside of `small_networks`."""
    torch.manual_seed(0)
    networks = small_ebmc()
    torch.save({name: spread(part) for name, part in networks.named_children()}, file)
    return file


def write_screens(root: Path) -> Path:
    """Write a folder of small random networks, inside of `small_networks`."""
    torch.manual_seed(0)
    for name, network in small_screens().files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(spread(network), root / name)
    return root


def retriever() -> SimilarityRetriever:
    """Retrieval without weights."""
    return SimilarityRetriever(HogEncoder())
