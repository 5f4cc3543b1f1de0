"""What several processes are started with: a small evaluation, ``evaluate.py``, and one that stops."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

from PIL import Image

import evaluate as script
from colorflow.distributed.launch import find_place, join_ranks
from colorflow.distributed.ranks import Ranks
from colorflow.evaluation.results import Results
from colorflow.evaluation.run import evaluate
from colorflow.evaluation.stages import Work
from colorflow.methods import MethodSpec
from colorflow.metrics import MetricSettings
from colorflow.schema import ReferencePool
from tiny.benchmark import Tint
from tiny.metrics import ALL
from tiny.runs import call_main


class Mortal(Tint):
    """Takes its time; may be killed."""

    def __init__(self, kill: int | None) -> None:
        super().__init__()
        self.kill = kill

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Colour a page, or die."""
        time.sleep(0.1)
        if seed == self.kill:
            time.sleep(0.5)  # the pages before it are written
            os.kill(os.getpid(), signal.SIGKILL)
        return super().colorize(page, references, seed=seed)


def evaluate_tint(benchmark: str | Path, output: str | Path, ranks: Ranks, kill: int | None = None) -> Results:
    """The gray copy and another row, all metrics by random networks."""
    rows = {"tint": MethodSpec(build=lambda: Mortal(kill))}
    metrics = MetricSettings(ALL, batch_size=2)
    options = {"metric_size": "native", "metrics": metrics, "progress": False}
    return evaluate(rows, benchmark, output, work=Work(ranks), **options)


def evaluate_in_ranks(benchmark: str, output: str, *options: str) -> None:
    """``kill=SEED``: who gets the page of this seed kills itself; ``full=RANK``: to this process the disk is full."""
    given = {name: int(value) for name, _, value in (option.partition("=") for option in options)}
    with join_ranks(find_place(), limit=10.0) as ranks:
        if ranks.rank == given.get("full"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
        evaluate_tint(benchmark, output, ranks, given.get("kill"))


def run_evaluate(*overrides: str) -> None:
    """``python evaluate.py <overrides>``."""
    sys.exit(call_main(script, *overrides))


def meet_and_stop(works: str) -> None:
    """The first process meets the others and stops; they work on, or wait for it."""
    with join_ranks(find_place(), limit=10.0) as ranks:
        ranks.gather("here")
        if ranks.first:
            os.kill(os.getpid(), signal.SIGSTOP)
        while works == "works":
            ranks.check()
            time.sleep(0.1)
        ranks.gather("never complete")
