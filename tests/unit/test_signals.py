"""Workers of a loader, when SLURM signals all processes of a job."""

import os
import re
import signal
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader

from colorflow.utils.signals import obey_parent_alone


def started(init):
    loader = DataLoader(list(range(40)), num_workers=1, worker_init_fn=init, prefetch_factor=1)
    batches = iter(loader)
    assert int(next(batches)) == 0
    (worker,) = batches._workers
    return batches, worker


@pytest.mark.parametrize("name", ["TERM", "USR1", "USR2"])
def test_a_worker_outlives_a_signal_that_is_meant_for_its_parent(name):
    batches, worker = started(obey_parent_alone)
    for _ in range(3):
        subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert [int(batch) for batch in batches] == list(range(1, 40))


UNGUARDED = """
import subprocess, time
from torch.utils.data import DataLoader
batches = iter(DataLoader(list(range(10_000)), num_workers=1))
next(batches)
subprocess.run(["kill", "-USR1", str(batches._workers[0].pid)], check=True)
for _ in batches:
    time.sleep(0.01)
"""


def test_without_it_the_training_process_gets_an_error_in_the_middle_of_a_step():
    """What this guards against still exists in torch.

    In a process of its own: the error comes in any line, also pytest's.
    """
    training = subprocess.run([sys.executable, "-c", UNGUARDED], capture_output=True, text=True, check=False)
    assert training.returncode
    assert re.search(r"DataLoader worker.*(killed by signal|exited unexpectedly)", training.stderr)


def test_its_parent_ends_it():
    batches, worker = started(obey_parent_alone)
    signal.pthread_sigmask(signal.SIG_BLOCK, [])  # the parent's own mask is as it was
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(20)
    assert worker.exitcode == 0
    del batches
