"""Several processes of one evaluation: as threads around one store, and as real processes with or without torchrun."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch.distributed import HashStore

from colorflow.config import CONFIGS
from colorflow.utils.ranks import JoinedRanks, Ranks

ROOT = CONFIGS.parent

_steps = itertools.count()


def in_ranks(world: int, work: Callable[[Ranks], Any], **options: Any) -> list[Any]:
    """Do some work in as many threads as ranks; what each returned, or the error that it raised."""
    store = HashStore()

    def one(rank: int) -> Any:
        ranks = JoinedRanks(store, rank, world, **{"interval": 0.02, "patience": 500} | options)
        try:
            result = work(ranks)
            ranks.gather("end")
        except Exception as error:
            ranks.fail(error)
            result = error
        finally:
            ranks.leave()
        return result

    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(one, range(world)))


def start_ranks(world: int, command: Sequence[str], cwd: Path) -> list[subprocess.Popen[str]]:
    """Start Python ``world`` times as srun does: when one ends, nobody ends the others."""
    step = {"SLURM_JOB_ID": os.getpid(), "SLURM_STEP_ID": next(_steps), "SLURM_STEP_NODELIST": "localhost"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": cwd}
    processes = []
    for rank in range(world):
        task = {"SLURM_STEP_NUM_TASKS": world, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        environment = os.environ | {name: str(value) for name, value in {**step, **task}.items()}
        processes.append(subprocess.Popen([sys.executable, *command], env=environment, **pipes))
    return processes


def torchrun(world: int, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script by torch's launcher."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    return subprocess.run([*launcher, *command], capture_output=True, text=True, cwd=cwd, check=False)
