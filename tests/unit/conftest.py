"""Tiny folders that the tests of several modules start from; what makes them is imported where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from colorflow.baselines.predictions import PredictionsFolder
    from colorflow.evaluation.bench.benchmark import Benchmark


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Chapters ``a`` (3 pages) and ``b`` (2 pages), leave-one-out."""
    from tiny.benchmark import tiny_benchmark

    return tiny_benchmark(tmp_path)


@pytest.fixture
def folder(benchmark: Benchmark, tmp_path: Path) -> PredictionsFolder:
    """Tinted pages of the benchmark."""
    from tiny.benchmark import tinted_folder

    return tinted_folder(benchmark, tmp_path / "predictions")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Black-and-white chapters, their references, and where results go."""
    from tiny.painter import gray_chapters, write_chapters

    pages = gray_chapters(tmp_path / "pages", {"ep2": 3, "ep10": 2})
    return pages, write_chapters(tmp_path / "refs", {"ep2": 2, "ep10": 1}), tmp_path / "out"
