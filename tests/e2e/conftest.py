"""One run of train.py and what the tests of the entry points ask of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny.runs import run_script


@dataclass(frozen=True)
class DebugRun:
    """``python train.py experiment=debug``, finished.

    Attributes:
        folder: Its run folder.
        benchmark: The benchmark it made and was scored on.
        said: Standard output and error.
    """

    folder: Path
    benchmark: Path
    said: str


@pytest.fixture(scope="session")
def debug_run(once: Callable[[str, Callable[[Path], object]], Path]) -> DebugRun:
    """The debug experiment in a process of its own."""

    def run(place: Path) -> None:
        done = run_script("train.py", "experiment=debug", "paths.runs=runs", cwd=place)
        assert done.returncode == 0, done.stderr[-3000:]
        (place / "said.txt").write_text(done.stdout + done.stderr)

    place = once("debug", run)
    (folder,) = (place / "runs" / "debug").glob("*")
    benchmark = next((place / "runs" / "cache").glob("toon_benchmark/*"))
    return DebugRun(folder, benchmark, (place / "said.txt").read_text())
