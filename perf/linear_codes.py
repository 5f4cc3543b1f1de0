"""How well toon pages fit a latent grid: the best linear code (PCA of blocks) of some factors and channel counts.

    python perf/linear_codes.py [--chapters 8] [--size 96 144]

A VAE is not linear and sees beyond its block, so this is no bound; it ranks shapes before any is trained.
"""

from __future__ import annotations

import argparse

import torch
from PIL import Image
from torch import Tensor

from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import to_tensor

SHAPES = ((8, 4), (8, 16), (4, 4), (4, 8), (4, 16))


def psnr_of_code(pages: Tensor, factor: int, channels: int) -> float:
    """PSNR in dB of ``(N, 3, H, W)`` pages in [-1, 1], each factor x factor block kept by its first components."""
    blocks = pages.unfold(2, factor, factor).unfold(3, factor, factor).permute(0, 2, 3, 1, 4, 5)
    rows = blocks.reshape(-1, 3 * factor * factor).double()
    centred = rows - rows.mean(0)
    basis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -channels:]
    error = (centred - centred @ basis @ basis.T) / 2
    return float(-10 * error.square().mean().log10())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chapters", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=(96, 144))
    options = parser.parse_args()
    size = tuple(options.size)
    drawn = [page for seed in range(options.chapters) for page in draw_chapter(seed, 4, ToonSpec(size=(192, 288)))]
    pages = torch.stack([to_tensor(page.color.resize(size, Image.Resampling.BICUBIC)) for page in drawn])
    print(f"{len(pages)} toon pages at {size[0]} x {size[1]}")
    print("factor channels compression  PSNR dB")
    for factor, channels in SHAPES:
        ratio = 3 * factor**2 / channels
        print(f"{factor:6d} {channels:8d} {ratio:11.0f} {psnr_of_code(pages, factor, channels):8.2f}")


if __name__ == "__main__":
    main()
