"""Several processes of one evaluation: as threads around one store, and as real processes with or without torchrun.

Without torchrun they are forked from one that has imported everything, so that none takes the seconds of a start.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch.distributed import HashStore

from colorflow.config import CONFIGS
from colorflow.distributed.ranks import JoinedRanks, Ranks

ROOT = CONFIGS.parent

_steps = itertools.count()


def in_ranks(world: int, work: Callable[[Ranks], Any], **options: Any) -> list[Any]:
    """Do some work in as many threads as ranks; what each returned, or the error that it raised."""
    store = HashStore()

    def one(rank: int) -> Any:
        try:
            with JoinedRanks(store, rank, world, **{"interval": 0.01} | options).together() as ranks:
                return work(ranks)
        except Exception as error:
            return error

    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(one, range(world)))


class Started:
    """A process of its own.

    Args:
        environment: What is added to the variables that it has.
        work: A function of a module, with its arguments.
    """

    def __init__(self, environment: Mapping[str, str], work: Callable[..., Any], *arguments: str) -> None:
        (out, out_end), (err, err_end) = (multiprocessing.Pipe(duplex=False) for _ in range(2))
        self._process = _nursery().Process(target=_enter, args=(environment, (out_end, err_end), work, arguments))
        self._process.start()
        for end in (out_end, err_end):
            end.close()
        self._readers = ThreadPoolExecutor(2)
        self._said = [self._readers.submit(_read, pipe) for pipe in (out, err)]

    def end(self, seconds: float) -> tuple[int | None, str, str]:
        """Wait, then end it; exit status (None where it had to be ended), standard output and standard error."""
        self._process.join(seconds)
        code = self._process.exitcode
        self.kill()
        out, err = (said.result() for said in self._said)
        return code, out, err

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.join()


@cache
def _nursery() -> Any:
    """What forks; the modules are imported there, once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny.rank_run"])
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests")])):
        forkserver.ensure_running()
    return context


def _enter(
    environment: Mapping[str, str],
    pipes: tuple[Connection, Connection],
    work: Callable[..., Any],
    arguments: tuple[str, ...],
) -> None:
    os.environ.update(environment)
    for number, pipe in enumerate(pipes, 1):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    work(*arguments)


def _read(pipe: Connection) -> str:
    with open(os.dup(pipe.fileno())) as stream:
        return stream.read()


def start_ranks(world: int, work: Callable[..., Any], *arguments: str) -> list[Started]:
    """Start processes as srun does: when one ends, nobody ends the others."""
    step = {"SLURM_JOB_ID": os.getpid(), "SLURM_STEP_ID": next(_steps), "SLURM_STEP_NODELIST": "localhost"}
    tasks = []
    for rank in range(world):
        place = {"SLURM_STEP_NUM_TASKS": world, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        environment = {name: str(value) for name, value in {**step, **place}.items()}
        tasks.append(Started(environment, work, *arguments))
    return tasks


def torchrun(world: int, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script by torch's launcher."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    return subprocess.run([*launcher, *command], capture_output=True, text=True, cwd=cwd, check=False)
