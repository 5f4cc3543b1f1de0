"""What a training step of the paper's model costs on paper: arithmetic, least time, memory. Needs no GPU.

    python perf/training_floor.py [--experiment icp_lora64]

FLOPs are counted by torch on meta tensors, 2 a multiply-accumulate, attention's backward pass at twice its forward pass
(flash kernels recompute the scores: 2.5 times). The floor is the time at the GPU's dense bf16 peak. Memory is of live
tensors, all in bfloat16, attention as a fused kernel; autocast keeps norms in float32, which adds about a third to what
is kept for the backward pass. Workspaces and the CUDA context (1 to 2 GB) come on top.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from colorflow.canvas import canvas_size
from colorflow.config import compose_config, to_dict
from colorflow.models.base import random_base
from colorflow.models.conditioning import encode_posterior, latent_size
from colorflow.models.families import build_icp_model
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.sd import FAMILY as SD
from colorflow.tasks.dry_run import GPUS
from colorflow.utils.memory import MemoryTracker

GIGABYTES = {"A100-40": 40.0, "A100-80": 80.0, "H200": 141.0}
USABLE = 0.92  # of a GPU's memory: context, workspaces, what the allocator cannot join
RECOMPUTED = {"[]": (), "[guider]": ("guider",), "[guider,unet]": ("guider", "unet")}


def build(settings: dict[str, Any], recomputed: Sequence[Any] = ()) -> ICPModel:
    """The experiment's model on the meta device."""
    lora = LoraSettings(**{key: value for key, value in settings["lora"].items() if key != "_target_"})
    with torch.device("meta"):
        base = random_base(SD, settings["base"]["random"])
        return build_icp_model(base, lora, settings["conditioning_channels"], recomputed).to("meta", torch.bfloat16)


def step(model: ICPModel, size: Sequence[int], batch: int) -> None:
    """Forward and backward on latents of ``(height, width)``."""
    channels, options = model.vae.config.latent_channels, {"device": "meta", "dtype": torch.bfloat16}
    latents = torch.empty(batch, channels, *size, **options)
    condition = torch.empty(batch, model.guider.conditioning_channels, *size, **options)
    timesteps = torch.zeros(batch, dtype=torch.long, device="meta")
    model(latents, timesteps, condition).float().square().mean().backward()


def teraflops(work: Callable[[], object]) -> float:
    """Counted."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def encode(model: ICPModel, size: Sequence[int]) -> None:
    """All that a sample has encoded, of ``(width, height)`` pixels."""
    with torch.no_grad():
        encode_posterior(model.vae, torch.empty(1 + model.encodings, 3, *size[::-1], device="meta"))


def activations(model: ICPModel, size: Sequence[int]) -> int:
    """Bytes that another sample in the batch adds to the peak of a step."""
    peaks = []
    for batch in (16, 17):  # of one or two, the gradients of the weights would make the peak
        with MemoryTracker() as tracker, tracker.stage("step"):
            step(model, size, batch)
        model.zero_grad()
        peaks.append(tracker.peak)
    return peaks[1] - peaks[0]


def fixed(model: ICPModel) -> int:
    """Bytes whatever the batch: frozen in bf16; float32 weight, gradient, two moments, average, autocast's copy."""
    return sum(value.numel() * (4 * 5 + 2 if value.requires_grad else 2) for value in model.parameters())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="icp_lora64", help="of the families with a U-Net")
    options = parser.parse_args(arguments)
    overrides = [f"experiment={options.experiment}", "weights=random", "data.root=unused"]
    settings = to_dict(compose_config("train", overrides).model)
    model, window = build(settings), settings["train_size"]
    latents, canvas = latent_size(model.vae, *window[::-1]), canvas_size(settings["page_size"])
    alone = teraflops(lambda: step(model, latents, 1))
    costs = {
        "latents cached": alone,
        "window encoded in the step": alone + teraflops(lambda: encode(model, window)),
        "canvases encoded in the step": alone + teraflops(lambda: encode(model, canvas)),
    }
    print(f"{'a sample, forward and backward':32s}{'TFLOP':>8s}" + "".join(f"{f'{gpu} ms':>10s}" for gpu in GPUS))
    for name, cost in costs.items():
        print(f"{name:32s}{cost:8.2f}" + "".join(f"{1e3 * cost / peak:10.1f}" for peak, _ in GPUS.values()))
    held = fixed(model)
    print(f"\nwhatever the batch: {held / 1e9:.1f} GB")
    head = f"{'model.gradient_checkpointing':32s}{'TFLOP':>8s}{'GB a sample':>14s}"
    print(f"{head}  largest batch a GPU: {', '.join(GIGABYTES)}")
    for name, recomputed in RECOMPUTED.items():
        model = build(settings, recomputed)
        each, cost = activations(model, latents), teraflops(lambda model=model: step(model, latents, 1))
        most = (max(0, int((USABLE * 1e9 * size - held) // each)) for size in GIGABYTES.values())
        print(f"{name:32s}{cost:8.2f}{each / 1e9:14.2f}  {', '.join(map(str, most))}")


if __name__ == "__main__":
    main()
