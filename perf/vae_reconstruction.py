"""What a base's VAE keeps of toon pages: the ceiling of any colorization in its latents.

    python perf/vae_reconstruction.py [--weights colorflow/assets/toon] [--chapters 4]

One row a page size: PSNR of the reconstruction at that size, and of its colour under the luminance of the
192 x 288 page (what `keep_luminance` could reach at best). The first line is the gray copy.
"""

from __future__ import annotations

import argparse

import torch
from PIL import Image

from colorflow.metrics import psnr
from colorflow.models.base import load_base
from colorflow.models.sd import FAMILY as SD
from colorflow.pipelines.luminance import with_luminance
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import to_image, to_tensor

FULL_SIZE = (192, 288)
SIZES = ((32, 48), (64, 96), (96, 144), (128, 192))
FIRST_SEED = 9000  # no training set or benchmark uses it


def mean_psnr(images: list[Image.Image], targets: list[Image.Image]) -> float:
    """Mean PSNR in dB over pairs of equal size."""
    preds, target = (torch.stack([to_tensor(image) for image in pages]) / 2 + 0.5 for pages in (images, targets))
    return float(psnr(preds, target).mean())


@torch.no_grad()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="colorflow/assets/toon")
    parser.add_argument("--chapters", type=int, default=4)
    options = parser.parse_args()
    vae = load_base(SD, options.weights).vae
    seeds = range(FIRST_SEED, FIRST_SEED + options.chapters)
    pages = [page.color for seed in seeds for page in draw_chapter(seed, 3, ToonSpec(size=FULL_SIZE))]
    gray = [page.convert("L").convert("RGB") for page in pages]
    print(f"gray copy of {len(pages)} pages: {mean_psnr(gray, pages):.2f} dB")
    print("page size  reconstruction dB  colour under own luminance dB")
    for size in SIZES:
        small = [page.resize(size, Image.Resampling.BICUBIC) for page in pages]
        latents = [vae.encode(to_tensor(page)[None]).latent_dist.mean for page in small]
        decoded = [to_image(vae.decode(latent).sample[0].clamp(-1, 1)) for latent in latents]
        coloured = [with_luminance(image, page) for image, page in zip(decoded, pages, strict=True)]
        print(f"{size[0]:4d} x {size[1]:3d} {mean_psnr(decoded, small):18.2f} {mean_psnr(coloured, pages):30.2f}")


if __name__ == "__main__":
    main()
