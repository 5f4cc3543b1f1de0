"""The released folder's style networks with random weights, and generators by seed."""

from pathlib import Path

import torch

from colorflow.styles.lines.network import LineNetwork
from colorflow.styles.networks import DECODER_FILE, GENERATOR_FILE, LINE_FILE
from colorflow.styles.screen.generator import ScreenGenerator
from colorflow.styles.screen.vae import ScreenDecoder


def seeded(seed: int = 0) -> torch.Generator:
    """A new generator."""
    return torch.Generator().manual_seed(seed)


def write_released(root: Path) -> Path:
    """Write the weight files of ScreenVAE path and line extractor, at full size, below a folder."""
    torch.manual_seed(0)
    networks = {GENERATOR_FILE: ScreenGenerator(), DECODER_FILE: ScreenDecoder(), LINE_FILE: LineNetwork()}
    for name, network in networks.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), root / name)
    return root
