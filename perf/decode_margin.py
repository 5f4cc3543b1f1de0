"""How far decoding the query alone is from decoding the whole canvas, by the margin of latent pixels around it.

    python perf/decode_margin.py [--weights colorflow/assets/toon] [--page-size 64 96] [--chapters 8]

Canvases of toon pages in colour, as a perfect result would be, through the base's VAE. One row a margin: difference of
the query in 8-bit levels (mean, the largest, share of values that differ by more than 2) and in dB, and the share of
the canvas that is decoded. Both ways are also compared with the page itself: what the margin costs in the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from colorflow.canvas import fit_page, query_box, reference_patches, stitch
from colorflow.metrics import psnr
from colorflow.models.base import load_base
from colorflow.models.conditioning import Region, decode_latents, decode_region, encode_latents, latent_factor
from colorflow.models.sd import FAMILY as SD
from colorflow.schema import QUADRANTS, RANKS
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import to_tensor

MARGINS = (0, 1, 2, 4, 6, 8, 12)
FIRST_SEED = 9400  # no training set or benchmark uses it


def canvases(size: tuple[int, int], chapters: int) -> Tensor:
    """Stitched canvases ``(N, 3, 2H, 2W)``, query in colour: a page of each chapter among views of three others."""
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + chapters):
        query, *others = (fit_page(page.color, size) for page in draw_chapter(seed, 4, ToonSpec()))
        views = [view for page in others for view in reference_patches(page)]
        slots = [(quadrant, rank) for quadrant in range(len(QUADRANTS)) for rank in range(RANKS)]
        found.append(to_tensor(stitch(query, dict(zip(slots, views, strict=False)))))
    return torch.stack(found)


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="colorflow/assets/toon")
    parser.add_argument("--page-size", type=int, nargs=2, default=(64, 96))
    parser.add_argument("--chapters", type=int, default=8)
    options = parser.parse_args(arguments)
    vae, size = load_base(SD, options.weights).vae, (options.page_size[0], options.page_size[1])
    images = canvases(size, options.chapters)
    height, width = (side // latent_factor(vae) for side in images.shape[-2:])
    latents = encode_latents(vae, images, torch.zeros(len(images), vae.config.latent_channels, height, width))
    left, top, right, bottom = box = query_box(size)
    page = images[..., top:bottom, left:right] / 2 + 0.5
    whole = decode_latents(vae, latents).clamp(-1, 1)[..., top:bottom, left:right] / 2 + 0.5
    print(f"{len(images)} canvases of {images.shape[-1]} x {images.shape[-2]}, latents {width} x {height}; ", end="")
    print(f"whole canvas against the page: {psnr(whole, page).mean():.2f} dB")
    print("margin  mean levels  largest  over 2 levels      dB  against the page dB  decoded share")
    for margin in MARGINS:
        part = decode_region(vae, latents, Region(box, margin)).clamp(-1, 1) / 2 + 0.5
        error = (part - whole).abs() * 255
        sides = (min(side, side // 2 + 2 * margin) / side for side in (width, height))
        share = next(sides) * next(sides)
        print(
            f"{margin:6d} {error.mean():12.3f} {error.max():8.1f} {(error > 2).float().mean():13.2%} "
            f"{psnr(part, whole).mean():8.1f} {psnr(part, page).mean():20.2f} {share:13.0%}"
        )


if __name__ == "__main__":
    main()
