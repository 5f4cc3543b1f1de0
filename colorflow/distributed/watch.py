"""A thread that tells the other processes that this one lives, and learns when one of them does not."""

from __future__ import annotations

import threading

from colorflow.distributed.patient_store import PatientStore

FAILED = "failed"
"""Key of the message of the process that failed first."""

_END = 10.0
"""Seconds that the thread is waited for."""


def left_key(rank: int) -> str:
    """Key of a process that needs the store no more."""
    return f"left/{rank}"


def unreachable(world: int, error: RuntimeError) -> str:
    """What the loss of the store means: the first process holds it."""
    return (
        f"process 0 of {world} cannot be reached and has probably ended or been stopped ({error}); what is done is "
        "kept, run the same command again"
    )


class Watch:
    """Signs of life of one process, and a look at those of others: the first process at all, the others at the first.

    Silence is counted in this process's own intervals and not by the clock: a job that was suspended as a whole
    wakes up without having missed any.

    Args:
        store: Reached by all processes.
        rank: Number of this process.
        world: Number of processes.
        interval: Seconds between two signs.
        patience: As many intervals without a sign are a dead process.

    Attributes:
        trouble: Why this process should end; None where it should not.
    """

    def __init__(self, store: PatientStore, rank: int, world: int, interval: float, patience: int) -> None:
        self.trouble: str | None = None
        self._store, self._rank, self._world = store, rank, world
        self._interval, self._patience = interval, patience
        self._watched = dict.fromkeys(range(1, world) if rank == 0 else (0,), (b"", 0))
        self._beats = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the store is not used after it."""
        self._end.set()
        self._thread.join(_END)

    def say(self, message: str) -> None:
        """Tell all processes to end, where none has said so before."""
        try:
            if not self._store.check([FAILED]):
                self._store.set(FAILED, message)
        except RuntimeError:  # the store went with the process that held it: the others see that themselves
            self.trouble = self.trouble or message

    def _run(self) -> None:
        while self.trouble is None:
            try:
                self._beat()
            except RuntimeError as error:
                self.trouble = unreachable(self._world, error)
            if self._end.wait(self._interval):
                return

    def _beat(self) -> None:
        self._beats += 1
        self._store.set(f"beat/{self._rank}", str(self._beats))
        if silent := [rank for rank in self._watched if self._is_silent(rank)]:
            processes = ", ".join(map(str, silent))
            seconds = self._interval * self._patience
            self.say(
                f"process {processes} of {self._world} gave no sign of life for {seconds:g} s and has probably been "
                "killed (out of memory?); what is done is kept, run the same command again"
            )
        if self._store.check([FAILED]):
            self.trouble = self._store.get(FAILED).decode()
            self._store.set(left_key(self._rank), "")

    def _is_silent(self, rank: int) -> bool:
        """Whether a process that has not left shows the same sign for too long."""
        last, same = self._watched[rank]
        key = f"beat/{rank}"
        sign = self._store.get(key) if self._store.check([key]) else b""
        same = same + 1 if sign == last else 0
        self._watched[rank] = (sign, same)
        return same >= self._patience and not self._store.check([left_key(rank)])
