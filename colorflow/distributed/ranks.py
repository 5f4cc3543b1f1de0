"""Processes that share one piece of work: who does what, how they wait for each other, how all end when one does.

Through the key-value store that torch's launchers set up, and not through collectives: a wait may last for hours while
another process works, and must still end when that one fails, is killed or falls silent.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch.distributed import Store

from colorflow.distributed.patient_store import PatientStore
from colorflow.distributed.watch import FAILED, Watch, left_key, unreachable

T = TypeVar("T")

_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Seconds between looks into the store; the last one again and again."""

_GOODBYE = 30.0
"""Seconds that the first process, which may hold the store, waits for the others to leave it."""

_LAST_WORDS = 5.0
"""The same after a failure: others may be in the middle of a page."""


class RankError(RuntimeError):
    """Work that cannot go on because of another process; the message says which one and why."""


class Ranks:
    """One process that works alone; `JoinedRanks` are several.

    Every process calls `share`, `gather`, `agree` and `counter` in the same order; values are JSON.

    Attributes:
        rank: Number of this process.
        world: Number of processes.
    """

    rank, world = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is the process that does what is done once."""
        return self.rank == 0

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """This process's share: a run of neighbours, as long as the others' or one longer."""
        start, end = (len(items) * number // self.world for number in (self.rank, self.rank + 1))
        return items[start:end]

    def check(self) -> None:
        """Raise RankError where another process has failed; costs nothing."""

    def counter(self, name: str) -> Callable[[int], int]:
        """A count from zero that all processes share: each call adds a number and returns the new value."""
        total = 0

        def add(number: int) -> int:
            nonlocal total
            total += number
            return total

        return add

    def gather(self, name: str, value: Any = None) -> list[Any]:
        """Wait until every process is here; the values of all, by rank."""
        return [value]

    def share(self, name: str, make: Callable[[], T]) -> T:
        """Let the first process make something; all others wait for its value."""
        return make()

    def agree(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """Wait for all processes, check that they hold the same, and return it.

        Raises:
            RankError: In all of them, naming the first that differs, and the keys.
        """
        first, *others = self.gather(name, json.loads(json.dumps(value)))
        for rank, other in enumerate(others, 1):
            if different := [key for key in {**first, **other} if first.get(key) != other.get(key)]:
                raise RankError(
                    f"{name}: process {rank} has {[other.get(key) for key in different]} for {', '.join(different)}, "
                    f"process 0 has {[first.get(key) for key in different]}; all must see the same files and packages"
                )
        return value


class JoinedRanks(Ranks):
    """Several processes around one store.

    Args:
        store: Reached by all of them, without keys of other work.
        rank: Number of this process.
        world: Number of processes.
        interval: Seconds between two signs of life.
        patience: As many intervals without a sign are a dead process, or without an answer a dead store.
    """

    def __init__(self, store: Store, rank: int, world: int, interval: float = 2.0, patience: int = 60) -> None:
        self.rank, self.world = rank, world
        self._store = PatientStore(store, interval, patience)
        self._calls = 0
        self._watch = Watch(self._store, rank, world, interval, patience)
        self._watch.start()

    def check(self) -> None:
        """Raise RankError where another process has failed, is silent or cannot be reached."""
        if self._watch.trouble is not None:
            raise RankError(self._watch.trouble)

    def counter(self, name: str) -> Callable[[int], int]:
        """A count from zero that all processes share: each call adds a number and returns the new value."""
        key = self._key(name)
        return lambda number: self._ask(lambda: self._store.add(key, number))

    def gather(self, name: str, value: Any = None) -> list[Any]:
        """Wait, for hours if need be, until every process is here; the values of all, by rank."""
        key = self._key(name)
        self._ask(lambda: self._store.set(f"{key}/{self.rank}", json.dumps(value)))
        return self._read([f"{key}/{rank}" for rank in range(self.world)])

    def share(self, name: str, make: Callable[[], T]) -> T:
        """Let the first process make something; all others wait for its value."""
        key = self._key(name)
        if self.first:
            value = make()
            self._ask(lambda: self._store.set(key, json.dumps(value)))
        shared: T = self._read([key])[0]
        return shared

    def fail(self, error: BaseException) -> None:
        """Tell the others that this process ends, unless they know of a failure: then that one is the reason."""
        self._watch.say(f"process {self.rank} of {self.world} failed: {type(error).__name__}: {error}")

    def leave(self) -> None:
        """Go; the first process last, as it may be the one that holds the store."""
        try:
            if self.first:
                others = [left_key(rank) for rank in range(1, self.world)]
                limit = time.monotonic() + (_LAST_WORDS if self._store.check([FAILED]) else _GOODBYE)
                while time.monotonic() < limit and not self._store.check(others):
                    time.sleep(_PAUSES[0])
            self._watch.stop()
            self._store.set(left_key(self.rank), "")
        except RuntimeError:  # the store is gone, and who held it has said why
            self._watch.stop()
        finally:
            self._store.close()

    def _key(self, name: str) -> str:
        """A key that no earlier call has used."""
        self._calls += 1
        return f"call/{self._calls}/{name}"

    def _read(self, keys: list[str]) -> list[Any]:
        pauses = itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))
        while not self._ask(lambda: self._store.check(keys)):
            self.check()
            time.sleep(next(pauses))
        return [json.loads(self._ask(lambda key=key: self._store.get(key))) for key in keys]  # type: ignore[misc]

    def _ask(self, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except RuntimeError as error:
            self.check()
            raise RankError(unreachable(self.world, error)) from error
