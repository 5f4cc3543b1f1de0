"""One run of train.py and what the tests of the entry points ask of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_runs import run_script


@dataclass(frozen=True)
class DebugRun:
    """``python train.py experiment=debug``, finished.

    Attributes:
        folder: Its run folder.
        benchmark: The benchmark it made and was scored on.
        said: Standard output and error.
        returncode: Exit status.
    """

    folder: Path
    benchmark: Path
    said: str
    returncode: int


@pytest.fixture(scope="session")
def debug_run(tmp_path_factory: pytest.TempPathFactory) -> DebugRun:
    """The debug experiment in a process of its own."""
    place = tmp_path_factory.mktemp("debug")
    done = run_script("train.py", "experiment=debug", "paths.runs=runs", cwd=place)
    folders = list((place / "runs" / "debug").glob("*"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(folders) == 1
    benchmark = next((place / "runs" / "cache").glob("toon_benchmark/*"))
    return DebugRun(folders[0], benchmark, done.stdout + done.stderr, done.returncode)
