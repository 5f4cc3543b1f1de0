"""Several processes of one evaluation: as threads around one store, and as real processes with or without torchrun."""

from __future__ import annotations

import os
import socket
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


def rank_environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun would set, for a process that is started without it."""
    given = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return os.environ | {name: str(value) for name, value in given.items()}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_ranks(world: int, command: Sequence[str], cwd: Path) -> list[subprocess.Popen[str]]:
    """Start Python ``world`` times, as srun would: when one ends, nobody ends the others."""
    port = free_port()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": cwd}
    return [
        subprocess.Popen([sys.executable, *command], env=rank_environment(rank, world, port), **pipes)
        for rank in range(world)
    ]


def torchrun(world: int, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script by torch's launcher."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    return subprocess.run([*launcher, *command], capture_output=True, text=True, cwd=cwd, check=False)
