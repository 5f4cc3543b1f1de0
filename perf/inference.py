"""What a page costs by the released demo's recipe and by ours: seconds, arithmetic, calls and memory, from one run.

    python perf/inference.py                                      # toon, minutes on two CPU cores
    python perf/inference.py --model sd15 --clip ViT-H-14         # full size: needs a GPU
    python perf/inference.py --rows released lean "released + LoRA merged"   # some rows, see --list

A chapter of generated pages is coloured with one pool of references, all weights random (a page costs the same with
trained ones) and the whole pipeline in use: retrieval, in-context colorization, super-resolution at 1.5 times the query
for every row. Seconds are of whole chapters by the clock, pool included, after a page to warm up on another pool; CPU
seconds are of this process alone, so that other work on a busy machine does not count. Arithmetic is counted by torch
(2 FLOP a multiply-accumulate): of the chapter's first page, which pays for the pool, and of a later one. Released + X
is the released recipe with one saving of ours switched on. Memory is the allocator's peak on a GPU and the process's
peak on a CPU, weights included.

**Which CLIP on toon.** The weights that would belong to it do not exist, so its size is a choice that moves the ratio.
At full size ViT-H/14 has 13 % of the released page's arithmetic, but as the demo runs it in float32 about 60 % of the
time that an H200 needs at least (1.0 of 1.6 s, from its peak rates). On toon ViT-Ti-32, the default, has 71 % of the
arithmetic, ViT-XS-32 17 %.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from colorflow import config
from colorflow.models.gsrp.model import GSRPModel
from colorflow.models.icp_model import ICPModel
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import ICPPipeline
from colorflow.pipelines.recipes import LEAN, RELEASED, Recipe, prepare_networks
from colorflow.retrieval.encoders import ClipVisionEncoder
from colorflow.retrieval.retriever import SimilarityRetriever, reference_pool
from colorflow.schema import PatchEncoder, ReferencePool
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.log import quiet_libraries
from colorflow.utils.progress import track
from colorflow.utils.tensors import resolve_device

CLIP = {  # hidden size, layers, heads, patch, projection
    "ViT-XS-32": (64, 6, 1, 32, 64),
    "ViT-Ti-32": (192, 12, 3, 32, 192),
    "ViT-B-32": (768, 12, 12, 32, 512),
    "ViT-L-14": (1024, 24, 16, 14, 768),
    "ViT-H-14": (1280, 32, 16, 14, 1024),
}
CHAPTER_SEED = 9300  # no training set or benchmark uses it


@dataclass(frozen=True)
class Variant:
    """A row: a recipe, and how many pages go through the networks together."""

    name: str
    recipe: Recipe
    batch: int = 1


@dataclass(frozen=True)
class Cost:
    """Of one row, by page, averaged over the chapter; `gigabytes` is a peak."""

    seconds: float
    cpu_seconds: float
    flops: float
    clip_images: float
    encoded: float
    decoded: float
    networks: float
    gigabytes: float


class CountingEncoder:
    """A patch encoder that counts its images."""

    def __init__(self, encoder: PatchEncoder) -> None:
        self.encoder, self.name, self.images = encoder, encoder.name, 0

    def __call__(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed and count."""
        self.images += len(images)
        return self.encoder(images)


class Bench:
    """Weights, pages and references that all rows share.

    Args:
        options: Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        overrides = [f"model={options.model}", f"weights={options.weights}", "data.root=unused"]
        cfg = config.compose_config("train", overrides).model
        self.device = str(resolve_device(options.device))
        dtype = options.dtype or ("bfloat16" if self.device.startswith("cuda") else "float32")
        self.dtype, self.page_size = getattr(torch, dtype), (cfg.page_size[0], cfg.page_size[1])
        channels = 2 * cfg.base.random.vae.latent_channels + 1  # references and query encoded apart
        model = ICPModel.from_base(config.build(cfg.base), config.build(cfg.lora), channels)
        self.model = model.eval().requires_grad_(False).to(self.device, self.dtype)
        self.gsrp = GSRPModel.from_vae(self.model.vae).eval().requires_grad_(False).to(self.device, self.dtype)
        self.encoder = CountingEncoder(_clip(options.clip, self.device))
        self.pages, self.pool, self.other = _chapter(self.page_size, options.pages, options.references)

    def pipeline(self, recipe: Recipe) -> ColorFlowPipeline:
        """A pipeline of its own networks, as loading an export prepares them."""
        model, gsrp = copy.deepcopy((self.model, self.gsrp))
        icp = ICPPipeline(model)
        icp.set_progress_bar_config(disable=True)
        prepare_networks(icp, gsrp, recipe)
        return ColorFlowPipeline(icp, self._retriever(recipe), self.page_size, gsrp=gsrp, recipe=recipe)

    def measure(self, variant: Variant) -> Cost:
        """Time a chapter, then count two pages of it."""
        pipe = self.pipeline(variant.recipe)
        size = min(variant.batch, len(self.pages))
        pipe.batch(self.pages[:size], [self.other] * size, seeds=range(size))
        with _peak(self.device) as peak:
            seconds, cpu_seconds = min(self._pass(pipe, variant, size) for _ in range(self.options.passes))
        del pipe
        counted = self.pipeline(replace(variant.recipe, compile_blocks=False))  # a compiled block hides its operators
        pages = [self._count(counted, seed) for seed in range(2)]
        count = len(self.pages)
        average = [(one + (count - 1) * later) / count for one, later in zip(*pages, strict=True)]
        return Cost(seconds / count, cpu_seconds / count, *average, peak())

    def _pass(self, pipe: ColorFlowPipeline, variant: Variant, size: int) -> tuple[float, float]:
        """Seconds of a chapter by the clock and of this process, from a pool that was not seen."""
        pipe.retriever = self._retriever(variant.recipe)
        start, cpu_start = time.perf_counter(), time.process_time()
        for first in track(range(0, len(self.pages), size), variant.name):
            pages = self.pages[first : first + size]
            pipe.batch(pages, [self.pool] * len(pages), seeds=range(first, first + len(pages)))
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - start, time.process_time() - cpu_start

    def _retriever(self, recipe: Recipe) -> SimilarityRetriever:
        kept = {} if recipe.cache_references else {"cached_pools": 0, "cached_pages": 0}
        return SimilarityRetriever(self.encoder, **kept)

    def _count(self, pipe: ColorFlowPipeline, seed: int) -> tuple[float, ...]:
        """FLOPs, CLIP images, images encoded, megapixels decoded and canvases through the base network, of a page."""
        assert pipe.gsrp is not None
        vae, before = pipe.icp.model.vae, self.encoder.images
        calls = {"encoded": 0.0, "decoded": 0.0, "networks": 0.0}
        factor = pipe.gsrp.factor

        def counter(name: str, scale: Callable[[torch.Tensor], float]) -> Callable[..., None]:
            def count(module: object, inputs: tuple[torch.Tensor, ...]) -> None:
                calls[name] += scale(inputs[0])

            return count

        network = pipe.icp.model.network.conv_in
        hooks = [
            vae.encoder.conv_in.register_forward_pre_hook(counter("encoded", len)),
            vae.decoder.conv_in.register_forward_pre_hook(
                counter("decoded", lambda latents: latents[:, 0].numel() * factor**2 / 1e6)
            ),
            network.register_forward_pre_hook(counter("networks", len)),
        ]
        with FlopCounterMode(display=False) as flops:
            pipe(self.pages[seed], self.pool, seed=seed)
        for hook in hooks:
            hook.remove()
        images = self.encoder.images - before
        return (flops.get_total_flops(), images, calls["encoded"], calls["decoded"], calls["networks"])


def variants(options: argparse.Namespace) -> list[Variant]:
    """All rows that can be run."""
    steps = replace(RELEASED.sampling, num_inference_steps=options.steps)
    released = replace(RELEASED, sampling=steps)
    lean = replace(LEAN, sampling=replace(LEAN.sampling, num_inference_steps=options.steps))
    alone = {
        "no guidance": {"sampling": lean.sampling},
        "shared condition": {"share_condition": True},
        "query decoded alone": {"decode_margin": LEAN.decode_margin},
        "own pages, posterior mean": {"released_pages": False},
        "references cached": {"cache_references": True},
        "LoRA merged": {"merge_lora": True},
        "channels last": {"channels_last": True},
        "compiled blocks": {"compile_blocks": True},
    }
    rows = [Variant("released", released)]
    rows += [Variant(f"released + {name}", replace(released, **change)) for name, change in alone.items()]
    rows += [Variant(f"released + batches of {options.batch}", released, options.batch), Variant("lean", lean)]
    guided = replace(lean, sampling=steps)
    rows += [Variant("lean, guidance kept", guided), Variant(f"lean, batches of {options.batch}", lean, options.batch)]
    more = {"channels last": {"channels_last": True}, "compiled blocks": {"compile_blocks": True}}
    return rows + [Variant(f"lean, {name}", replace(lean, **change)) for name, change in more.items()]


def _chapter(
    size: tuple[int, int], pages: int, references: int
) -> tuple[list[Image.Image], ReferencePool, ReferencePool]:
    """Black-and-white pages, their references, and a small pool of another chapter to warm up with."""
    spec, shown = ToonSpec(supersample=1), (size[0] * 3 // 2, size[1] * 3 // 2)
    drawn = [page.color.resize(shown) for page in draw_chapter(CHAPTER_SEED, pages + references, spec)]
    other = [page.color.resize(shown) for page in draw_chapter(CHAPTER_SEED + 1, 2, spec)]
    pool = reference_pool([str(number) for number in range(references)], drawn[pages:])
    return [page.convert("L") for page in drawn[:pages]], pool, reference_pool(["a", "b"], other)


def _clip(name: str, device: str) -> PatchEncoder:
    """The product's encoder with random weights, float32 as released."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    width, layers, heads, patch, projection = CLIP[name]
    settings = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        patch_size=patch,
        projection_dim=projection,
    )
    with tempfile.TemporaryDirectory() as folder:
        CLIPVisionModelWithProjection(settings).save_pretrained(folder)
        return ClipVisionEncoder(folder, device)


@contextmanager
def _peak(device: str) -> Iterator[Callable[[], float]]:
    """Gigabytes at the peak: of the allocator on a GPU, of the process on a CPU (NaN where Linux does not tell)."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    elif reset.exists():
        reset.write_text("5")  # Linux: forget the peak of resident memory
    found = [float("nan")]
    yield lambda: found[0]
    if device.startswith("cuda"):
        found[0] = torch.cuda.max_memory_allocated() / 1e9
    elif status.exists():
        lines = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        found[0] = float(lines[0][1]) * 1024 / 1e9


def table(costs: dict[str, Cost], options: argparse.Namespace, device: str) -> Table:
    """Every row with its ratio to the first."""
    title = (
        f"{options.model}, {options.weights} weights, {options.pages} pages with {options.references} references, "
        f"{options.steps} steps, CLIP {options.clip} in float32, {device}"
    )
    shown = Table(title=title)
    heads = (
        "recipe",
        "s a page",
        "ratio",
        "CPU s",
        "ratio",
        "GFLOP a page",
        "ratio",
        "CLIP images",
        "encoded",
        "decoded Mpx",
    )
    for head in (*heads, "canvases denoised", "peak GB"):
        shown.add_column(head, justify="left" if head == "recipe" else "right")
    base = next(iter(costs.values()))
    for name, cost in costs.items():
        shown.add_row(
            name,
            f"{cost.seconds:.3f}",
            f"{base.seconds / cost.seconds:.2f}",
            f"{cost.cpu_seconds:.3f}",
            f"{base.cpu_seconds / cost.cpu_seconds:.2f}",
            f"{cost.flops / 1e9:.1f}",
            f"{base.flops / cost.flops:.2f}",
            f"{cost.clip_images:.1f}",
            f"{cost.encoded:.1f}",
            f"{cost.decoded:.3f}",
            f"{cost.networks:.0f}",
            f"{cost.gigabytes:.2f}",
        )
    return shown


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["toon", "sd15"], default="toon")
    parser.add_argument("--weights", default="random", help="random, pretrained, or a folder or hub id of a base")
    parser.add_argument("--clip", choices=list(CLIP), default="ViT-Ti-32")
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--references", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--passes", type=int, default=1, help="chapters a row; the fastest counts (busy machines)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="of all rows; default bfloat16 on a GPU")
    parser.add_argument("--rows", nargs="+", help="names of rows, the first is what the others are compared with")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = parse(arguments)
    quiet_libraries()
    rows = {variant.name: variant for variant in variants(options)}
    if options.list:
        print("\n".join(rows))
        return
    chosen = options.rows or list(rows)
    if unknown := [name for name in chosen if name not in rows]:
        raise SystemExit(f"--rows: expected names among {list(rows)}, got {unknown}")
    bench = Bench(options)
    costs = {name: bench.measure(rows[name]) for name in chosen}
    device = (
        torch.cuda.get_device_name() if bench.device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"
    )
    Console(width=160).print(table(costs, options, device))


if __name__ == "__main__":
    main()
