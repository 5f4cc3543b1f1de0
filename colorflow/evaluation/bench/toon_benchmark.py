"""A benchmark of generated chapters: exact ground truth, nothing to download."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from colorflow.evaluation.bench.build import build_benchmark
from colorflow.schema import Style
from colorflow.toon import ToonSpec, name_set, write_chapters
from colorflow.utils.hashing import digest_json


def toon_benchmark(
    parent: str | Path, chapters: int, pages: int, spec: ToonSpec, seed: int, styles: Sequence[Style] = ()
) -> Path:
    """Make the benchmark unless it is there; leave-one-out references.

    Args:
        parent: Folder of such benchmarks; each has a subfolder of its own.
        chapters: How many chapters.
        pages: Pages a chapter.
        spec: What is drawn, and at which size.
        seed: Of the chapters; training uses other seeds.
        styles: Input styles beside gray.

    Returns:
        The benchmark folder.
    """
    digest = f"-{digest_json([style.describe() for style in styles])[:8]}" if styles else ""
    folder = Path(parent) / f"{name_set(chapters, pages, seed, spec)}{digest}"
    if not (folder / "benchmark.json").is_file():
        with tempfile.TemporaryDirectory(prefix="colorflow-toon-") as source:
            drawn = Path(source) / "pages"
            write_chapters(drawn, chapters, pages, seed, spec, parts=True)
            build_benchmark(
                drawn,
                folder,
                pages=pages,
                references=pages,
                seed=seed,
                name="toon",
                styles=styles,
                parts=drawn.with_name("pages_parts"),
                progress=False,
            )
    return folder


def existing_benchmark(root: str) -> Path:
    """The benchmark folder at ``root``, made by ``data/build_benchmark.py`` (checked when it is read)."""
    return Path(root)
