"""Trainings that something happens to: a callback that keeps the order of samples and strikes, ranks that are forked.

As a script, for torchrun: ``tests/tiny/faults.py RECORD STRIKE OVERRIDES...`` with a STRIKE of ``SIGTERM@step:rank``
or ``none``.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

import train
from colorflow import config
from colorflow.utils.files import append_jsonl, read_jsonl
from tiny.runs import SMALLER, call_main, column, tiny_config

LEAN = (
    *SMALLER,
    "~callbacks.sample_grid",
    "~callbacks.export",
    "callbacks.checkpoint.every_n_train_steps=3",
    "callbacks.ema.decay=0.9",
    "optimizer.lr=0.003",
    "lr_scheduler.num_warmup_steps=3",
    "trainer.limit_val_batches=0",
    "validate_first=false",
)
"""Training and its checkpoints; nothing is validated, drawn or exported."""

_PARTS = ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "ComicDataModule")


class Struck(BaseException):
    """Stands in for SIGKILL inside one process: nothing is saved after it."""


class Fault(Callback):
    """Writes down every sample; when some steps are done, strikes a process between gradients and update."""

    def __init__(
        self, record: Path, step: int | None = None, rank: int = 0, strike: Callable[[], None] | None = None
    ) -> None:
        self.record, self.step, self.rank, self.strike = record, step, rank, strike

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        line = [trainer.global_step, list(batch.page_ids), list(batch.seeds)]
        append_jsonl(line, self.record / f"rank_{trainer.global_rank}.jsonl")

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if (trainer.global_step, trainer.global_rank) == (self.step, self.rank):
            assert self.strike is not None
            self.strike()


def send(name: str) -> Callable[[], None]:
    """Sends this process a signal."""
    return lambda: os.kill(os.getpid(), signal.Signals[name])


def with_callback(fault: Callback) -> Any:
    """Patch: every training has this callback too."""
    build = config.build

    def build_with(node: Any, **arguments: Any) -> Any:
        made = build(node, **arguments)
        return {"fault": fault, **made} if isinstance(made, dict) and "run_record" in made else made

    return mock.patch.object(config, "build", build_with)


def fit(cfg: DictConfig, fault: Callback) -> None:
    """Train in this process."""
    with with_callback(fault):
        train.fit(cfg)


def fork_ranks(world: int, work: Callable[[int], None]) -> list[int]:
    """Do work in forked processes that find themselves as if torchrun had started them; their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
            names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": 0}
            os.environ.update({name: str(value) for name, value in {**place, **names}.items()})
            _work_and_exit(work, rank)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _work_and_exit(work: Callable[[int], None], rank: int) -> None:
    status = 1
    try:
        work(rank)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def rank_trainer(cache: Path, places: pytest.TempPathFactory, run: Sequence[str]) -> Callable[..., list[int]]:
    """A function that trains in forked processes and returns their exit statuses."""
    warm = tiny_config(cache, places.mktemp("warm"), *run, "trainer.max_steps=1")
    fit(warm, Fault(places.mktemp("warm")))  # makes the pages

    def train_ranks(
        world: int, folder: Path, *overrides: str, callback: Callback | None = None, **fault: Any
    ) -> list[int]:
        given = (f"trainer.devices={world}", "trainer.strategy=ddp") if world > 1 else ()
        cfg = tiny_config(cache, folder, *run, *given, *overrides)
        return fork_ranks(world, lambda rank: fit(cfg, callback or Fault(folder, **fault)))

    return train_ranks


def samples(record: Path, world: int = 1) -> dict[int, tuple[list[str], list[int]]]:
    """Page ids and seeds of each step's global batch; a step that was done again must have had the same."""
    steps: dict[int, Any] = {}
    for lines in zip(*(read_jsonl(record / f"rank_{rank}.jsonl") for rank in range(world)), strict=True):
        numbers = {line[0] for line in lines}
        assert len(numbers) == 1, "processes are at different steps"
        batch = tuple([item for line in lines for item in line[part]] for part in (1, 2))
        assert steps.setdefault(numbers.pop(), batch) == batch
    return steps


def losses(folder: Path, name: str = "train/loss") -> dict[int, float]:
    """A metric over all parts of a run, by step; two parts must not disagree about a step."""
    merged: dict[int, float] = {}
    for path in sorted(folder.glob("metrics*.csv")):
        for step, value in column(path, name).items():
            assert merged.setdefault(step, value) == value
    return merged


def last(folder: Path) -> dict[str, Any]:
    """The last checkpoint of a run."""
    loaded: dict[str, Any] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return loaded


def assert_equal(one: Any, other: Any, path: str = "checkpoint") -> None:
    """Every tensor, number and string of two nested states."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{path}/{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path


def assert_same_run(folder: Path, straight: Path) -> None:
    """Everything that the next step depends on, bit for bit."""
    left, right = last(folder), last(straight)
    for part in _PARTS:
        assert_equal(left[part], right[part], part)
    assert_equal(left["callbacks"]["EMA"], right["callbacks"]["EMA"], "EMA")


def main(record: str, strike: str, *overrides: str) -> None:
    """Train as train.py does."""
    name, _, place = strike.partition("@")
    step, _, rank = place.partition(":")
    fault = Fault(Path(record)) if strike == "none" else Fault(Path(record), int(step), int(rank), send(name))
    with with_callback(fault):
        sys.exit(call_main(train, *overrides))


if __name__ == "__main__":
    main(*sys.argv[1:])
