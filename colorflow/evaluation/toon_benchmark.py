"""A benchmark of generated chapters: exact ground truth, nothing to download."""

from __future__ import annotations

import tempfile
from pathlib import Path

from colorflow.data.toon import ToonSpec, write_chapters
from colorflow.evaluation.build_benchmark import build_benchmark


def toon_benchmark(folder: str | Path, chapters: int, pages: int, size: tuple[int, int], seed: int) -> Path:
    """Make the benchmark at ``folder`` unless it is there; leave-one-out references.

    Args:
        folder: Benchmark folder.
        chapters: How many chapters.
        pages: Pages a chapter.
        size: Page size (width, height).
        seed: Of the chapters; training uses other seeds.
    """
    folder = Path(folder)
    if not (folder / "benchmark.json").is_file():
        with tempfile.TemporaryDirectory(prefix="colorflow-toon-") as source:
            write_chapters(source, chapters, pages, seed, ToonSpec(size=(size[0], size[1])))
            build_benchmark(source, folder, pages=pages, references=pages, seed=seed, name="toon", progress=False)
    return folder


def existing_benchmark(root: str) -> Path:
    """The benchmark folder at ``root``, made by ``data/build_benchmark.py`` (checked when it is read)."""
    return Path(root)
