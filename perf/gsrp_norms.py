"""Which batch norm guided super-resolution should have: both modes trained on the same pages, each then run in both.

    python perf/gsrp_norms.py [--steps 150] [--batch 4] [--weights colorflow/assets/toon]

Toon pages of 96 x 144 from simulated ICP results of 64 x 96, one row a way to train and to run: PSNR and SSIM on pages
of chapters that were not trained on. The first line is the input, bilinearly upsampled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import l1_loss

from colorflow.metrics import psnr, ssim
from colorflow.models.base import load_base
from colorflow.models.gsrp.fusion import NormMode
from colorflow.models.gsrp.model import GSRPModel, upsample
from colorflow.models.sd import FAMILY as SD
from colorflow.tasks.degradation import ColorJitter, Downsample, GaussianNoise, VaeRoundTrip, degrade
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import to_tensor
from colorflow.utils.seeding import generator

PAGE, LOW_RES = (96, 144), (64, 96)
STEPS = (Downsample(LOW_RES), ColorJitter(), VaeRoundTrip(), GaussianNoise())
MODES: tuple[NormMode, ...] = ("batch", "running")
FIRST_SEED = 9100  # no training set or benchmark uses it


def pages(first: int, chapters: int, each: int) -> tuple[Tensor, Tensor]:
    """Pages ``(N, 3, H, W)`` in colour and in gray."""
    drawn = [page.color for seed in range(first, first + chapters) for page in draw_chapter(seed, each, ToonSpec())]
    small = [page.resize(PAGE, Image.Resampling.BICUBIC) for page in drawn]
    stacks = [torch.stack([to_tensor(page) for page in images]) for images in (small, [p.convert("L") for p in small])]
    return stacks[0], stacks[1]


def train(mode: NormMode, color: Tensor, gray: Tensor, options: argparse.Namespace) -> GSRPModel:
    """Train from the same weights on the same batches."""
    torch.manual_seed(0)
    model = GSRPModel.from_vae(load_base(SD, options.weights).vae, mode).train()
    optimizer = torch.optim.AdamW(model.fusion.parameters(), lr=1e-3)
    for step in range(options.steps):
        chosen = torch.randint(len(color), (options.batch,), generator=generator("batch", step))
        seeds = [1000 * step + place for place in range(options.batch)]
        low = degrade(color[chosen], seeds, model.vae, STEPS)
        loss = l1_loss(model(gray[chosen], low), color[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def row(name: str, preds: Tensor, target: Tensor) -> str:
    """A line of the table."""
    found, wanted = (images.clamp(-1, 1) / 2 + 0.5 for images in (preds, target))
    return f"{name:42s} {psnr(found, wanted).mean():8.2f} {ssim(found, wanted).mean():8.4f}"


@torch.no_grad()
def run(model: GSRPModel, mode: NormMode, gray: Tensor, low: Tensor) -> Tensor:
    """Results page by page, as at inference."""
    model.fusion.set_norm_mode(mode)
    return torch.cat([model(gray[i : i + 1], low[i : i + 1]) for i in range(len(gray))])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--weights", default="colorflow/assets/toon")
    options = parser.parse_args(arguments)
    color, gray = pages(FIRST_SEED, 12, 4)
    held_color, held_gray = pages(FIRST_SEED + 50, 4, 3)
    low = degrade(held_color, range(len(held_color)), load_base(SD, options.weights).vae, STEPS)
    print(f"{options.steps} steps of {options.batch} pages; {len(held_color)} held-out pages      PSNR dB     SSIM")
    print(row("input, upsampled", upsample(low, (PAGE[1], PAGE[0])), held_color))
    for trained in MODES:
        model = train(trained, color, gray, options)
        for used in MODES:
            name = f"trained {trained}, run {used}"
            print(row(name, run(model, used, held_gray, low), held_color), flush=True)


if __name__ == "__main__":
    main()
