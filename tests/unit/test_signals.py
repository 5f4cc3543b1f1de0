"""Workers of a loader, when SLURM signals all processes of a job."""

import os
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


EPOCH = """
import subprocess, sys, time
from torch.utils.data import DataLoader
from colorflow.utils.signals import obey_parent_alone
init = obey_parent_alone if sys.argv[1] == "guarded" else None
batches = iter(DataLoader(list(range(300)), num_workers=1, worker_init_fn=init))
next(batches)
subprocess.run(["kill", "-USR1", str(batches._workers[0].pid)], check=True)
for _ in batches:
    time.sleep(0.01)
"""


@pytest.mark.parametrize("worker", ["guarded", "unguarded"])
def test_without_it_a_signal_to_a_worker_ends_the_training_in_the_middle_of_a_step(worker):
    """What this guards against is still in torch. In its own process: the error comes in any line, also pytest's."""
    training = subprocess.run([sys.executable, "-c", EPOCH, worker], capture_output=True, text=True, check=False)
    assert (training.returncode == 0) == (worker == "guarded"), training.stderr


def test_its_parent_ends_it():
    batches, worker = started(obey_parent_alone)
    signal.pthread_sigmask(signal.SIG_BLOCK, [])  # the parent's own mask is as it was
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(20)
    assert worker.exitcode == 0
    del batches
