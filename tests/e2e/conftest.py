"""One run of train.py and what the tests of the entry points ask of it."""

import fcntl
import os
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
def debug_run(tmp_path_factory: pytest.TempPathFactory) -> DebugRun:
    """The debug experiment in a process of its own, once for all workers of pytest."""
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "debug"
    log = place / "said.txt"
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        if not log.is_file():
            place.mkdir()
            done = run_script("train.py", "experiment=debug", "paths.runs=runs", cwd=place)
            assert done.returncode == 0, done.stderr[-3000:]
            log.write_text(done.stdout + done.stderr)
    (folder,) = (place / "runs" / "debug").glob("*")
    benchmark = next((place / "runs" / "cache").glob("toon_benchmark/*"))
    return DebugRun(folder, benchmark, log.read_text())
