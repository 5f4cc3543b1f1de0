"""Which process of which launch this is: read from the environment of torchrun, srun or submitit, in one place."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import torch
from torch.distributed import PrefixStore, Store, rendezvous

from colorflow.distributed.ranks import JoinedRanks, RankError, Ranks

_WAIT = timedelta(minutes=30)
"""For all processes to be there; nodes start at different times."""

_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """A process among others.

    Attributes:
        rank: Its number.
        world: How many there are.
        local: Its number on its machine, hence its GPU.
        host: Machine of the first process, or of torchrun's agent.
        port: Where the store is there.
    """

    rank: int
    world: int
    local: int
    host: str
    port: int


def find_place(environ: Mapping[str, str] = os.environ) -> Place | None:
    """Read what torchrun, srun or submitit's local executor say; None for a process that was started alone.

    Within an allocation of SLURM a script that srun did not start is alone too: ``SLURM_NTASKS`` is there, the
    other tasks are not.

    Raises:
        RankError: Where srun does not tell the nodes of the step.
    """
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= environ.keys():
        local = int(environ.get("LOCAL_RANK", environ.get("SLURM_LOCALID", 0)))
        host, port = environ["MASTER_ADDR"], int(environ["MASTER_PORT"])
        return Place(int(environ["RANK"]), int(environ["WORLD_SIZE"]), local, host, port)
    if int(environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        rank, world = int(environ["SLURM_PROCID"]), int(environ["SLURM_STEP_NUM_TASKS"])
        return Place(rank, world, int(environ["SLURM_LOCALID"]), _first_node(environ), _port(environ))
    if int(environ.get("SUBMITIT_LOCAL_NTASKS", 1)) > 1:
        rank, world = int(environ["SUBMITIT_LOCAL_GLOBALID"]), int(environ["SUBMITIT_LOCAL_NTASKS"])
        port = 12000 + int(environ["SUBMITIT_LOCAL_JOB_ID"]) % 20000
        return Place(rank, world, int(environ["SUBMITIT_LOCAL_LOCALID"]), "127.0.0.1", port)
    return None


@contextmanager
def join_ranks(place: Place | None, limit: float = 120.0) -> Iterator[Ranks]:
    """Work together with the other processes of a launch; an error in one of them ends all.

    Args:
        place: Which process this is; None: alone.
        limit: See `JoinedRanks`.

    Raises:
        RankError: Where the others do not come, and in the block by the methods of `Ranks`.
    """
    if place is None or place.world == 1:
        yield Ranks()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local % torch.cuda.device_count())
    with _meet(place, limit).together() as ranks:
        yield ranks


def _meet(place: Place, limit: float) -> JoinedRanks:
    try:
        store = PrefixStore(f"work{next(_numbers)}", _store(place))  # jobs of a sweep follow each other in one process
        store.set(f"here/{place.rank}", "")
        store.wait([f"here/{rank}" for rank in range(place.world)], _WAIT)
        return JoinedRanks(store, place.rank, place.world, limit=limit)
    except RuntimeError as error:
        raise RankError(
            f"process {place.rank} of {place.world}: expected all processes at {place.host}, port {place.port}, got "
            f"{error}; set MASTER_ADDR and MASTER_PORT to a node and a free port that all can reach, and "
            "GLOO_SOCKET_IFNAME to the network between them"
        ) from error


@cache
def _store(place: Place) -> Store:
    url = f"tcp://{place.host}:{place.port}"
    store: Store = next(rendezvous(url, rank=place.rank, world_size=place.world, timeout=_WAIT))[0]
    return store


def _first_node(environ: Mapping[str, str]) -> str:
    """Of a list like ``gpu[03-05,09],cpu1``."""
    if "MASTER_ADDR" in environ:
        return environ["MASTER_ADDR"]
    nodes = environ.get("SLURM_STEP_NODELIST", "")
    found = re.match(r"([^\[,]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    if found is None:
        raise RankError(f"SLURM_STEP_NODELIST: expected nodes, got {nodes!r}; set MASTER_ADDR to the first one")
    return "".join(part or "" for part in found.groups())


def _port(environ: Mapping[str, str]) -> int:
    """The same for all processes of a step, another one for most others; below the ports that systems hand out."""
    step = int(environ.get("SLURM_JOB_ID", 0)) * 31 + int(environ.get("SLURM_STEP_ID", 0))
    return int(environ.get("MASTER_PORT", 12000 + step % 20000))
