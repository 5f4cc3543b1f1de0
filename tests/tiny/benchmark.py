"""Tiny chapters, a benchmark of them, methods that are no models, and results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.bench.benchmark import Benchmark
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.generate.generate import generate
from colorflow.evaluation.results import Bootstrap, build_results
from colorflow.evaluation.run import evaluate
from colorflow.methods import MethodSpec
from colorflow.retrieval.retriever import reference_pool
from colorflow.schema import ReferencePool

SIZE = (40, 56)


def write_chapters(root: Path, pages: dict[str, int], size: tuple[int, int] = SIZE) -> Path:
    """Write ``<root>/<chapter>/p1.png, p2.jpg, ...``: smooth colour pages, all different."""
    for number, (chapter, count) in enumerate(pages.items()):
        (root / chapter).mkdir(parents=True, exist_ok=True)
        for page in range(1, count + 1):
            suffix = "jpg" if page % 2 == 0 else "png"
            color_page(1000 * number + page, size).save(root / chapter / f"p{page}.{suffix}")
    return root


def color_page(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw a smooth colour picture."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def colored_pool(count: int = 3, size: tuple[int, int] = SIZE) -> ReferencePool:
    """Colour pages that are no benchmark's."""
    return reference_pool([f"r{number}" for number in range(count)], [color_page(900 + i, size) for i in range(count)])


def tiny_benchmark(tmp_path: Path, pages: dict[str, int] | None = None) -> Benchmark:
    """Build a leave-one-out benchmark: by default chapters ``a`` (3 pages) and ``b`` (2 pages)."""
    source = write_chapters(tmp_path / "source", pages or {"a": 3, "b": 2})
    return build_benchmark(source, tmp_path / "benchmark", name="tiny", progress=False)


class TwoTone:
    """Stands for screenstyle: black and white, without weights."""

    name = "screenstyle"

    def __call__(self, page: Image.Image, generator: Any) -> Image.Image:
        """Return the page at two levels."""
        return page.convert("L").point(lambda level: 255 * (level > 128)).convert("RGB")

    def describe(self) -> dict[str, Any]:
        """What is recorded."""
        return {"name": self.name, "class": "TwoTone"}


class Tint:
    """Adds to the red channel; counts its calls; raises where it is told to.

    Attributes:
        calls: (seed, ids of the references) of every call.
    """

    def __init__(self, amount: int = 20, name: str = "tint", fail_on: tuple[int, ...] = ()) -> None:
        self.name = name
        self.amount = amount
        self.fail_on = fail_on
        self.error: type[BaseException] = RuntimeError
        self.calls: list[tuple[int, tuple[str, ...]]] = []

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Return the page with more red, depending on the seed a little."""
        if seed in self.fail_on:
            raise self.error(f"told to fail on seed {seed}")
        self.calls.append((seed, references.ids))
        red, green, blue = page.split()
        return Image.merge("RGB", (red.point(lambda value: min(255, value + self.amount + seed)), green, blue))


class TintTogether(Tint):
    """The same pages, also several at once.

    Attributes:
        batches: Seeds of every batch.
    """

    def __init__(self, amount: int = 20, name: str = "tint", fail_on: tuple[int, ...] = ()) -> None:
        super().__init__(amount, name, fail_on)
        self.batches: list[list[int]] = []

    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Colour pages one after the other."""
        self.batches.append(list(seeds))
        items = zip(pages, references, seeds, strict=True)
        return [self.colorize(page, pool, seed=seed) for page, pool, seed in items]


def tinted_folder(benchmark: Benchmark, parent: Path) -> PredictionsFolder:
    """Predictions of `Tint`."""
    report = generate(Tint(), benchmark, parent, base_seed=3, progress=False)
    return PredictionsFolder(report.folder, "gray")


def tint_rows() -> dict[str, MethodSpec]:
    """Two rows: one near the gray copy, one far from it and by wrong references."""
    return {
        "colorflow": MethodSpec(build=lambda: Tint(5)),
        "colorflow_wrong_references": MethodSpec(build=lambda: Tint(60), references="other_chapter"),
    }


def evaluate_tiny(benchmark: Benchmark, output: Path, methods: dict[str, MethodSpec], **options: Any) -> dict[str, Any]:
    """Evaluate at the pages' own size."""
    return evaluate(methods, benchmark.root, output, **({"metric_size": "native", "progress": False} | options))


def page_scores(method: str, chapter: str, page: int, psnr: float, style: str = "gray") -> dict[str, Any]:
    """A row of the pages of results.json."""
    scores = {"psnr": psnr, "ssim": 0.5 + psnr / 100, "chroma_psnr": psnr + 1, "ciede2000": 40 - psnr}
    return {"method": method, "style": style, "chapter": chapter, "page": f"{page:03d}", **scores, "seed": page}


def scored_pages() -> list[dict[str, Any]]:
    """Two methods on three chapters of four pages."""
    values = np.random.default_rng(1).uniform(15, 30, (2, 3, 4))
    return [
        page_scores(method, chapter, page, float(values[i, j, page]))
        for i, method in enumerate(("colorflow", "gray_copy"))
        for j, chapter in enumerate("abc")
        for page in range(4)
    ]


def tiny_results(shape: Any = None, **changes: Any) -> dict[str, Any]:
    """The results of such pages, on a benchmark that is said to be of a shape."""
    benchmark = {"name": "tiny", "pages": 12, "shape": shape}
    protocol = {"benchmark": benchmark, "metric_size": [64, 96], "intervals": {"confidence": 0.95}}
    return build_results(changes.get("pages", scored_pages()), protocol, Bootstrap(samples=200))


def find_row(results: dict[str, Any], method: str, style: str = "gray") -> dict[str, Any]:
    """The one row of the table."""
    (row,) = (row for row in results["rows"] if (row["method"], row["style"]) == (method, style))
    return row
