"""ColorFlow-Bench by its shape: 30 chapters of 50 pages and 40 references, gray and screenstyle (paper, section 4.1).

The authors never released its pages. The paper's printed rows stand beside a folder of other pages in this shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkError, read_benchmark

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
