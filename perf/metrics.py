"""Scoring a folder: `colorflow.evaluation.score.score` against a plain loop over torchmetrics' classes, in one run.

    python perf/metrics.py [--pages 1500] [--size 512 800] [--frechet-pages 1500]

Both score the same pages by PSNR, SSIM, chroma PSNR, CIEDE2000, CLIP-IS (ViT-B/32), FID and KID; weights are random,
nothing is downloaded. The loop reads a page and its truth, updates torchmetrics' PSNR, SSIM, FID and KID, each as its
documentation shows it (KID's own Inception passes are timed apart: ``FeatureShare`` would save them), asks scikit-image
for Lab and CIEDE2000 and open_clip for two embeddings. A table has several rows, the gray copy at least, and truths are
embedded once for all of them: the further row is what another system costs. The Frechet step is timed on random
features as well, at the paper's 1,500 pages.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from random_weights import calibration_pictures, fill_randomly
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor, nn
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from colorflow import metrics
from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.bench.benchmark import Benchmark, read_benchmark
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.score.protocol import Protocol, Suite
from colorflow.evaluation.score.score import score
from colorflow.metrics.clip import clip_pixels
from colorflow.metrics.distances import frechet_distance
from colorflow.metrics.inception import FoldedInception, fidelity_inception, legacy_pixels
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import save_png
from colorflow.utils.seeding import fixed_draws
from colorflow.utils.tensors import digest_weights

MODEL = "ViT-B-32"
DRAWN = 10  # different drawings; pages are these with noise of their own


@dataclass(frozen=True)
class Folder:
    """A benchmark, and predictions for it."""

    benchmark: Benchmark
    predictions: Path


def folder_of(root: Path, pages: int, size: tuple[int, int]) -> Folder:
    """The folder that an earlier run has kept, or a new one."""
    if not (root / "predictions" / "gray").is_dir():
        return write_folder(root, pages, size)
    folder = Folder(read_benchmark(root / "benchmark", verify=False), root / "predictions")
    got = len(folder.benchmark.pages), folder.benchmark.target(folder.benchmark.pages[0]).size
    if got != (pages, size):
        raise SystemExit(f"{root}: expected {pages} pages of {size}, got {got[0]} of {got[1]}; name another --folder")
    return folder


def write_folder(root: Path, pages: int, size: tuple[int, int]) -> Folder:
    """Write pages (``<chapter>/NNN.png``, fifty a chapter) and predictions of them: casts and noise."""
    drawn = [page.color.resize(size) for page in draw_chapter(0, DRAWN, ToonSpec(size=(size[0] // 2, size[1] // 2)))]
    random = np.random.default_rng(0)
    for number in range(pages):
        levels = np.asarray(drawn[number % DRAWN], dtype=np.int16)
        page = np.clip(levels + random.integers(-3, 4, levels.shape), 0, 255).astype(np.uint8)
        save_png(Image.fromarray(page), root / "source" / f"{number // 50:02d}" / f"{number % 50:03d}.png")
    benchmark = build_benchmark(root / "source", root / "benchmark", pages=50, references=50, progress=False)
    for item in benchmark.pages:
        levels = np.asarray(benchmark.target(item), dtype=np.int16)
        cast = random.integers(-30, 31, 3) + random.integers(-3, 4, levels.shape)
        picture = Image.fromarray(np.clip(levels + cast, 0, 255).astype(np.uint8))
        save_png(picture, root / "predictions" / "gray" / item.chapter / f"{item.name}.png")
    return Folder(benchmark, root / "predictions")


def random_inception() -> nn.Module:
    """torch-fidelity's network with weights whose features differ from page to page."""
    network = fidelity_inception(None)
    layers = nn.Sequential(*(layer for name, layer in network.named_children() if name != "fc"), nn.Flatten())
    fill_randomly(network, layers, calibration_pictures())
    return network


def random_clip() -> metrics.PageNetwork:
    """An image tower as open_clip initializes it, the same each time."""
    with fixed_draws():
        tower = open_clip.create_model(MODEL).visual
    return page_network("clip", clip_pixels(tower, "squash"), tower)


def page_network(name: str, prepare: Callable[..., Tensor], module: nn.Module) -> metrics.PageNetwork:
    """A network of the harness, on the CPU."""
    return metrics.PageNetwork(name, f"{name}-random", prepare, module, digest_weights(module), torch.device("cpu"))


class Inception2048(nn.Module):
    """torch-fidelity's network as torchmetrics takes one: uint8 pages in, features out."""

    num_features = 2048

    def __init__(self) -> None:
        super().__init__()
        self.network = random_inception()

    def forward(self, pages: Tensor) -> Tensor:
        """Return ``(B, 2048)``."""
        features: Tensor = self.network(pages)[0]
        return features


@dataclass(frozen=True)
class Plain:
    """What the plain loop found: means, seconds of FID's last step, seconds of KID's own Inception passes."""

    values: dict[str, float]
    frechet: float
    second_inception: float


def plain_loop(folder: Folder, clip: metrics.PageNetwork) -> Plain:
    """Score page by page with torchmetrics' classes, scikit-image and open_clip."""
    psnr, ssim = PeakSignalNoiseRatio(data_range=1.0), StructuralSimilarityIndexMeasure(data_range=1.0)
    count = len(folder.benchmark.pages)
    inception, kid_seconds = Inception2048(), 0.0
    fid = FrechetInceptionDistance(feature=inception)
    kid = KernelInceptionDistance(feature=inception, subset_size=min(count, 1000))
    rows: dict[str, list[float]] = {name: [] for name in ("psnr", "ssim", "chroma_psnr", "ciede2000", "clip_is")}
    for item in folder.benchmark.pages:
        truth = folder.benchmark.root / folder.benchmark.target_key(item)
        paths = folder.predictions / "gray" / item.chapter / f"{item.name}.png", truth
        pictures = [Image.open(path).convert("RGB") for path in paths]
        levels = [torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] for picture in pictures]
        pages = [page.float() / 255 for page in levels]
        rows["psnr"].append(float(psnr(*pages)))
        rows["ssim"].append(float(ssim(*pages)))
        labs = [rgb2lab(np.asarray(picture)) for picture in pictures]
        rows["ciede2000"].append(float(deltaE_ciede2000(*labs).mean()))
        rows["chroma_psnr"].append(10 * np.log10(255**2 / np.mean((labs[0] - labs[1])[..., 1:] ** 2)))
        with torch.inference_mode():
            embeddings = [clip.module(clip.prepare(picture)[None]) for picture in pictures]
            rows["clip_is"].append(float(torch.cosine_similarity(*embeddings)))
            for page, real in zip(levels, (False, True), strict=True):
                fid.update(page, real=real)
                kid_seconds += timed(lambda page=page, real=real: kid.update(page, real=real))[1]
    values = {name: float(np.mean(row)) for name, row in rows.items()}
    distance, frechet = timed(fid.compute)
    kid.compute()
    return Plain(values | {"fid": float(distance)}, frechet, kid_seconds)


def suite(clip: metrics.PageNetwork) -> Suite:
    """What the plain loop measures; FID's resize is torch-fidelity's, as there."""
    inception = page_network("inception", legacy_pixels, FoldedInception(random_inception()))
    specs = tuple(map(metrics.find_metric, (*metrics.FREE_METRICS, "clip_is", "fid", "kid")))
    return Suite(specs, {"clip_is": clip, "fid": inception, "kid": inception})


def ours(folder: Folder, protocol: Protocol, measured: Suite, cache: Path, method: str) -> dict[str, float]:
    """Score by the harness, everything kept on disk as always."""
    predictions = PredictionsFolder(folder.predictions, "gray")
    found = score(predictions, folder.benchmark, protocol, method=method, suite=measured, cache=cache, progress=False)
    names = [spec.key for spec in measured.specs if spec.a_page]
    return {name: float(np.mean([page[name] for page in found.pages])) for name in names} | dict(found.sets)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """The result and its seconds."""
    start = perf_counter()
    result = function()
    return result, perf_counter() - start


def frechet_steps(pages: int) -> tuple[float, float]:
    """Seconds of torchmetrics' Frechet step and of ours, on random features."""
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(pages, 2048, generator=generator).relu() + 0.1 * place for place in range(2)]
    metric = FrechetInceptionDistance(feature=_Identity())
    for rows, real in zip(features, (True, False), strict=True):
        metric.update(rows.view(pages, 1, 1, 2048), real=real)
    expected, theirs = timed(metric.compute)
    got, own = timed(lambda: frechet_distance(features[1], features[0]))
    assert abs(float(got) / float(expected) - 1) < 1e-3, (got, expected)
    return theirs, own


class _Identity(nn.Module):
    """Pages that are features already."""

    num_features = 2048

    def forward(self, pages: Tensor) -> Tensor:
        """Return ``(B, 2048)``."""
        return pages.flatten(1).float()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=1500)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 800), metavar=("W", "H"))
    parser.add_argument("--folder", type=Path, help="where the pages are kept for the next run; made there if absent")
    parser.add_argument("--frechet-pages", type=int, default=1500, help="0 leaves the separate Frechet step out")
    options = parser.parse_args(arguments)
    size = (options.size[0], options.size[1])
    clip, protocol = random_clip(), Protocol(size)
    with tempfile.TemporaryDirectory(prefix="colorflow-metrics-") as temporary:
        root = Path(temporary)
        folder = folder_of(options.folder or root / "pages", options.pages, size)
        count = len(folder.benchmark.pages)
        print(f"{count} pages of {size[0]} x {size[1]}, {torch.get_num_threads()} threads, seconds", flush=True)
        theirs, plain = timed(lambda: plain_loop(folder, clip))
        parts = f"FID's last step {theirs.frechet:.1f}, KID's own Inception {theirs.second_inception:.1f}"
        print(f"{'plain loop, torchmetrics':34s}{plain:9.1f}  of which {parts}", flush=True)
        measured = suite(clip)
        own, first = timed(lambda: ours(folder, protocol, measured, root / "scores/gray/first.jsonl", "first"))
        print(f"{'ours, first row of a table':34s}{first:9.1f}{plain / first:8.1f}x", flush=True)
        _, second = timed(lambda: ours(folder, protocol, measured, root / "scores/gray/second.jsonl", "second"))
        print(f"{'ours, every further row':34s}{second:9.1f}{plain / second:8.1f}x", flush=True)
        both = first + second
        print(f"{'two rows, the gray copy and it':34s}{both:9.1f}{2 * plain / both:8.1f}x", flush=True)
        pairs = [f"{name} {own[name]:.4g}/{value:.4g}" for name, value in theirs.values.items()]
        print(f"{'  '.join(pairs)}  (ours/theirs)")
        fid = theirs.values["fid"]
        assert fid > 1e-3, fid
        assert abs(own["fid"] / fid - 1) < 1e-3, (own["fid"], fid)
    if options.frechet_pages:
        theirs_fid, own_fid = frechet_steps(options.frechet_pages)
        ratio = f"{theirs_fid:.1f} against {own_fid:.1f} s, {theirs_fid / own_fid:.1f}x"
        print(f"Frechet step, {options.frechet_pages} x 2048 random features: {ratio}")


if __name__ == "__main__":
    main()
