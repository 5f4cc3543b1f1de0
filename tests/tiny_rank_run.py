"""A small evaluation as a script, for several processes: ``BENCHMARK OUTPUT [kill=SEED] [full=RANK]``.

``kill``: the process that gets the page of this seed kills itself, as the kernel would. ``full``: to this process the
disk is full (its files may not grow beyond a few bytes).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path

from PIL import Image
from tiny_benchmark import Tint

from colorflow.evaluation.results import Results
from colorflow.evaluation.run import evaluate
from colorflow.evaluation.specs import MethodSpec
from colorflow.evaluation.stages import Work
from colorflow.evaluation.suite import MetricSettings
from colorflow.metrics import HIGHER_IS_BETTER
from colorflow.schema import ReferencePool
from colorflow.utils.launch import find_place, join_ranks
from colorflow.utils.ranks import Ranks


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
    metrics = MetricSettings(tuple(HIGHER_IS_BETTER), random_weights=True, batch_size=2)
    options = {"metric_size": "native", "metrics": metrics, "progress": False}
    return evaluate(rows, benchmark, output, work=Work(ranks), **options)


def main(benchmark: str, output: str, *options: str) -> None:
    """Evaluate."""
    given = {name: int(value) for name, _, value in (option.partition("=") for option in options)}
    with join_ranks(find_place(), interval=0.1, patience=100) as ranks:
        if ranks.rank == given.get("full"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
        evaluate_tint(benchmark, output, ranks, given.get("kill"))


if __name__ == "__main__":
    main(*sys.argv[1:])
