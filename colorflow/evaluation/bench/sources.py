"""Where a benchmark folder comes from: generated chapters, a folder, a folder in the shape of ColorFlow-Bench."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkError, read_benchmark
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
    folder = Path(parent) / f"{name_set(chapters, pages, seed, spec)}_parts{digest}"
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


_NAMED = 5


def colorflow_bench(root: str | Path, chapters: int, pages: int, references: int, styles: Sequence[str]) -> Path:
    """Check that a benchmark folder has a shape; its files are compared with their digests when it is read.

    Args:
        root: The folder.
        chapters: How many chapters it has.
        pages: Pages to colour, in every chapter.
        references: Reference pages, in every chapter.
        styles: Input styles it holds, among others.

    Returns:
        The folder.

    Raises:
        BenchmarkError: With every deviation, or for a folder that is no benchmark.
    """
    benchmark = read_benchmark(root, verify=False)
    if wrong := list(_deviations(benchmark, chapters, pages, references, styles)):
        raise BenchmarkError(
            f"{root} has not the shape of ColorFlow-Bench:\n  "
            + "\n  ".join(wrong)
            + f"\nBuild it of {chapters} chapters of at least {pages + references} readable pages with python "
            f"data/build_benchmark.py source=DIR output=DIR pages={pages} references={references} "
            f"styles=[{','.join(styles)}] style.weights=FOLDER, or take benchmark=folder, which has any shape."
        )
    return Path(root)


def _deviations(
    benchmark: Benchmark, chapters: int, pages: int, references: int, styles: Sequence[str]
) -> Iterator[str]:
    if len(benchmark.chapters) != chapters:
        yield f"chapters: expected {chapters}, got {len(benchmark.chapters)}"
    for kind, expected in (("pages", pages), ("references", references)):
        counts = {chapter.name: len(getattr(chapter, kind)) for chapter in benchmark.chapters}
        others = [f"{count} in {name}" for name, count in counts.items() if count != expected]
        if others:
            more = f" and in {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            yield f"{kind}: expected {expected} in every chapter, got {', '.join(others[:_NAMED])}{more}"
    if not set(styles) <= set(benchmark.styles):
        yield f"styles: expected {', '.join(styles)}, got {', '.join(benchmark.styles)}"
