"""Peak memory of a page, stage by stage: everything resident, and with stages taking turns.

    python perf/memory.py [--size 768 1200] [--row-tile 64] [--guidance 1] [--device meta]

SD1.5, guider, LoRA, VAE, fusion network and CLIP ViT-H/14 in bfloat16 with random weights, which are included; a canvas
of 1024 x 1600. On ``meta`` nothing is computed: live bytes of tensors are counted, attention being a fused kernel (see
`colorflow.utils.memory.MemoryTracker` for what is not counted). On ``cuda`` it is the allocator's peak.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import open_clip
import torch
from torch import Tensor, nn

from colorflow.config import compose_config, to_dict
from colorflow.models.base import random_base
from colorflow.models.conditioning import decode_latents, latent_size
from colorflow.models.gsrp.model import GSRPModel
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.sd import FAMILY as SD
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.pipelines.offload import Turns, take_turns
from colorflow.utils.memory import AllocatorPeaks, MemoryTracker, StagePeaks

PAGE, CANVAS = (512, 800), (1024, 1600)
TOWER, VIEWS = "ViT-H-14", 64  # the paper's encoder; images a forward pass of colorflow.retrieval.encoders
STEPS = 2  # of denoising: a step leaves nothing behind that a third would add to


@dataclass(frozen=True)
class Setting:
    """How a page is run.

    Attributes:
        turns: Stages take turns (`ColorFlowPipeline.enable_model_cpu_offload`, which slices the VAE as well).
        slicing: Images of a batch pass the VAE one at a time (diffusers' ``vae.enable_slicing``).
        size: Page size (W, H) of the result.
        row_tile: Rows of a feature map that guided super-resolution fuses at a time; None: all.
        guidance: Above 1 condition and latents are doubled before everything, as released.
    """

    turns: bool = False
    slicing: bool = False
    size: tuple[int, int] = (768, 1200)
    row_tile: int | None = None
    guidance: float = 1.0

    def __str__(self) -> str:
        """Name of its row."""
        rows = "" if self.row_tile is None else f", {self.row_tile} rows"
        return ("turns" if self.turns else "resident, sliced VAE" if self.slicing else "resident") + rows


@dataclass(frozen=True)
class Networks:
    """Everything that a page needs, on one device; ``gsrp`` shares the VAE of ``icp``."""

    icp: ICPPipeline
    gsrp: GSRPModel
    tower: nn.Module

    def modules(self) -> tuple[nn.Module, ...]:
        """All there is to hold."""
        return self.icp.model.network, self.icp.model.guider, self.gsrp, self.tower


def build(device: str = "meta", dtype: torch.dtype = torch.bfloat16) -> Networks:
    """Random networks of full size, as ``experiment=icp_lora64`` configures them."""
    config = to_dict(compose_config("train", ["experiment=icp_lora64", "weights=random", "data.root=unused"]).model)
    lora = LoraSettings(**{key: value for key, value in config["lora"].items() if key != "_target_"})
    with torch.device(device):
        model = ICPModel.from_base(random_base(SD, config["base"]["random"]), lora, config["conditioning_channels"])
        gsrp = GSRPModel.from_vae(model.vae)
        tower = open_clip.create_model(TOWER, pretrained=None, device=device).visual
    for module in (model, gsrp, tower):
        module.to(device, dtype).eval().requires_grad_(False)
    return Networks(ICPPipeline(model), gsrp, tower)


def stages(networks: Networks, setting: Setting) -> dict[str, Callable[[], object]]:
    """What a page goes through, by the functions that the pipelines call, on inputs without content."""
    icp, vae = networks.icp, networks.icp.model.vae
    device, dtype, copies = vae.device, vae.dtype, 2 if setting.guidance > 1 else 1
    latent = latent_size(vae, *CANVAS[::-1])

    def blank(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, device=device, dtype=dtype)

    def encode() -> Tensor:
        canvas, mask = blank(copies, 3, *CANVAS[::-1]), blank(copies, 1, *CANVAS[::-1])
        posterior = blank(copies, 4, *latent)
        return icp.model.encode_condition(canvas, mask, (posterior, posterior))

    def denoise() -> Tensor:
        latents, condition = blank(1, 4, *latent, dtype=dtype), blank(copies, 5, *latent, dtype=dtype)
        embeds = icp.model.prompt_embeds.to(device, dtype).expand(copies, -1, -1)
        sampling = Sampling(STEPS, setting.guidance)
        for _ in range(STEPS):
            latents = icp.predict(latents, torch.tensor(500, device=device), condition, embeds, sampling)
        return latents

    return {
        "retrieve": lambda: networks.tower(blank(VIEWS, 3, 224, 224, dtype=dtype)),
        "encode": encode,
        "denoise": denoise,
        "decode": lambda: decode_latents(vae, blank(1, 4, *latent, dtype=dtype)).float().clamp(-1, 1),
        "super-resolve": lambda: networks.gsrp(blank(1, 3, *setting.size[::-1]), blank(1, 3, *PAGE[::-1])),
    }


def measure(networks: Networks, setting: Setting) -> StagePeaks:
    """Peak bytes of every stage, weights included."""
    vae = networks.icp.model.vae
    tracker = MemoryTracker("meta") if vae.device.type == "meta" else None
    networks.gsrp.fusion.set_row_tile(setting.row_tile)
    vae.use_slicing = setting.slicing or setting.turns
    if tracker is not None:
        tracker.hold(*networks.modules())
    networks.icp.scheduler.set_timesteps(STEPS)
    peaks = tracker or AllocatorPeaks(vae.device)
    turns = _turns(networks, tracker) if setting.turns else None
    with torch.no_grad(), peaks:
        for label, run in stages(networks, setting).items():
            with peaks.stage(label):
                run()
    if turns is not None:
        turns.end()
    return peaks


def _turns(networks: Networks, tracker: MemoryTracker | None) -> Turns:
    """On the meta device a module that would be moved away is only counted no longer."""
    device = networks.icp.model.vae.device
    options: dict[str, Any] = {}
    if tracker is not None:
        options["move"] = lambda module, to: tracker.hold(module) if to == device else tracker.release(module)
    return take_turns(
        Turns(device, **options),
        networks.icp.model.vae,
        (networks.icp.model.guider, networks.icp.model.network),
        (networks.tower,),
    )


def table(rows: dict[Setting, StagePeaks]) -> str:
    """One line a setting, gigabytes (1e9 bytes) a stage."""
    labels = list(next(iter(rows.values())).stages)
    lines = [f"{'GB':30s}" + "".join(f"{label:>14s}" for label in [*labels, "peak"])]
    for setting, peaks in rows.items():
        values = [peaks.stages[label] for label in labels] + [peaks.peak]
        lines.append(f"{setting!s:30s}" + "".join(f"{value / 1e9:14.2f}" for value in values))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(768, 1200), metavar=("W", "H"))
    parser.add_argument("--row-tile", type=int, default=64)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--device", choices=("meta", "cuda"), default="meta")
    options = parser.parse_args(arguments)
    base = Setting(size=(options.size[0], options.size[1]), guidance=options.guidance)
    settings = [base, replace(base, slicing=True), replace(base, turns=True)]
    networks = build(options.device)
    rows = {
        each: measure(networks, each)
        for setting in settings
        for each in (setting, replace(setting, row_tile=options.row_tile))
    }
    page, canvas = (f"{width} x {height}" for width, height in (base.size, CANVAS))
    print(f"page of {page}, canvas of {canvas}, guidance {options.guidance:g}, on {options.device}")
    print(table(rows))


if __name__ == "__main__":
    main()
