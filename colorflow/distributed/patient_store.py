"""A key-value store whose answers are waited for with a limit: torch's own calls have none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any

from torch.distributed import Store

Question = tuple[Callable[[], Any], Future[Any]]


class PatientStore:
    """Torch's store, asked in a thread: a call of `TCPStore` does not end while who holds the store is stopped.

    That thread may then block for good, and does not keep the process from ending. The limit is counted in intervals
    and not by the clock, as in `colorflow.distributed.watch`: a job that was suspended as a whole has not waited.

    Args:
        store: Reached by all processes.
        interval: Seconds.
        patience: As many intervals without an answer are a dead store.
    """

    def __init__(self, store: Store, interval: float, patience: int) -> None:
        self._store, self._interval, self._patience = store, interval, patience
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._dead = False
        threading.Thread(target=self._answer, name="store", daemon=True).start()

    def set(self, key: str, value: str) -> None:
        """Store a value; raises RuntimeError, as all of them, where the store is gone or does not answer."""
        self._ask(lambda: self._store.set(key, value))

    def get(self, key: str) -> bytes:
        """The value of a key that is there."""
        return bytes(self._ask(lambda: self._store.get(key)))

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are there."""
        return bool(self._ask(lambda: self._store.check(list(keys))))

    def add(self, key: str, amount: int) -> int:
        """Add to a count; its new value."""
        return int(self._ask(lambda: self._store.add(key, amount)))

    def close(self) -> None:
        """End the thread, unless it blocks; nothing is asked any more."""
        self._questions.put(None)

    def _ask(self, question: Callable[[], Any]) -> Any:
        answer: Future[Any] = Future()
        if not self._dead:
            self._questions.put((question, answer))
            for _ in range(self._patience):
                if wait([answer], self._interval).done:
                    return answer.result()
        self._dead = True  # whoever asks next need not wait again
        raise RuntimeError(f"the store gave no answer for {self._interval * self._patience:g} s")

    def _answer(self) -> None:
        while (asked := self._questions.get()) is not None:
            question, answer = asked
            try:
                answer.set_result(question())
            except Exception as error:
                answer.set_exception(error)
