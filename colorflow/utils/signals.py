"""Signals that are sent to all processes of a job, and are meant for the one that trains."""

from __future__ import annotations

import os
import signal
import threading

_MEANT_FOR_THE_PARENT = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


def obey_parent_alone(worker: int = 0) -> None:
    """Let a loader's worker outlive the signals that SLURM sends to every process of a preempted job.

    By default they kill it, and torch then raises in the middle of the step that the trainer wants to finish and save.
    SIGTERM from the parent (torch ends workers by it) still ends it: that takes a thread, as only a waiting one is
    told who sent a signal.

    Args:
        worker: Its number, as ``DataLoader(worker_init_fn=...)`` passes it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _MEANT_FOR_THE_PARENT)  # threads that come after this have it too
    threading.Thread(target=_wait_for_parent, name="signals", daemon=True).start()


def _wait_for_parent() -> None:
    while True:
        told = signal.sigwaitinfo(_MEANT_FOR_THE_PARENT)
        if told.si_signo == signal.SIGTERM and told.si_pid == os.getppid():
            os._exit(0)
