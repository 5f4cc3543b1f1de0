"""Processes that share one piece of work: who does what, how they wait for each other, how all end when one does.

Through gloo's collectives, but in a thread: a wait may last for hours while another process works, and must still end
when that one fails, is killed or falls silent. A collective that the work itself waits in has one limit for both.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch.distributed import ProcessGroupGloo, Store

T = TypeVar("T")

_END, _FAILED = "end", "failed"
"""Keys of what every process says at last."""

_LAST_WORDS = 10.0
"""Seconds that a process which ends too early waits for the others to hear why."""


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
        """A count from zero that all processes share: each call adds a number, 0 or more, and returns the new value."""
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
    """Several processes that meet again and again, each telling all others what it has to say.

    Args:
        store: Reached by all of them, without keys of other work; where they meet first.
        rank: Number of this process.
        world: Number of processes.
        interval: Seconds between two meetings.
        limit: Seconds after which a process that does not come is dead.
    """

    def __init__(self, store: Store, rank: int, world: int, interval: float = 0.1, limit: float = 120.0) -> None:
        self.rank, self.world = rank, world
        self._interval, self._limit = interval, timedelta(seconds=limit)
        self._group: Any = ProcessGroupGloo(store, rank, world, self._limit)  # its stub lacks the collectives
        self._said: list[str] = []
        self._heard: dict[str, dict[int, Any]] = defaultdict(dict)
        self._trouble: str | None = None
        self._calls = 0
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._meet, name="ranks", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise RankError where another process has failed, is silent or cannot be reached."""
        if self._trouble is not None:
            raise RankError(self._trouble)

    def counter(self, name: str) -> Callable[[int], int]:
        """A count from zero that all processes share: each call adds a number, 0 or more, and returns the new value."""
        key = self._key(name)

        def add(number: int) -> int:
            with self._news:
                totals = self._heard[key]
                before = totals.get(self.rank)
                if not number:
                    return max(totals.values(), default=0)
            self._say(key, number, add=True)
            self._await(lambda: totals.get(self.rank) != before)
            return int(totals[self.rank])

        return add

    def gather(self, name: str, value: Any = None) -> list[Any]:
        """Wait, for hours if need be, until every process is here; the values of all, by rank."""
        key = self._key(name)
        self._say(key, value)
        self._await(lambda: len(self._heard[key]) == self.world)
        told = self._heard.pop(key)
        return [told[rank] for rank in range(self.world)]

    def share(self, name: str, make: Callable[[], T]) -> T:
        """Let the first process make something; all others wait for its value."""
        key = self._key(name)
        if self.first:
            self._say(key, make())
        self._await(lambda: 0 in self._heard[key])
        shared: T = self._heard.pop(key)[0]
        return shared

    @contextmanager
    def together(self) -> Iterator[JoinedRanks]:
        """An error in the block ends all processes; without one all wait for each other at its end."""
        try:
            yield self
            self._say(_END, None)
            self._await(lambda: len(self._heard[_END]) == self.world)
        except BaseException as error:
            self._say(_FAILED, f"process {self.rank} of {self.world} failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._thread.join(_LAST_WORDS)

    def _key(self, name: str) -> str:
        """A key that no earlier call has used."""
        self._calls += 1
        return f"{self._calls}/{name}"

    def _say(self, key: str, value: Any, add: bool = False) -> None:
        """Tell a value to all; ``add``: the sum of it and of all before it."""
        with self._news:
            self._said.append(json.dumps([key, value, add]))

    def _await(self, there: Callable[[], bool]) -> None:
        with self._news:
            while not there():
                self.check()
                self._news.wait()

    def _meet(self) -> None:
        """Tell and hear until all have come to their end, or one has failed: all hear it in the same meeting."""
        while self._trouble is None and len(self._heard[_END]) < self.world:
            with self._news:
                said, self._said = self._said, []
            try:
                self._group.monitored_barrier(self._limit, wait_all_ranks=True)
                told = self._exchange(f"[{','.join(said)}]".encode())
            except RuntimeError as error:
                told = [[(_FAILED, self._lost(error), False)]]
            with self._news:
                for rank, part in enumerate(told):
                    for entry in part:
                        self._hear(rank, *entry)
                self._news.notify_all()
            time.sleep(self._interval)

    def _exchange(self, said: bytes) -> list[Any]:
        """What every process says, by rank."""
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.world)]
        self._group.allgather(sizes, torch.tensor([len(said)])).wait()
        longest = max(map(int, sizes))
        parts = [torch.empty(longest, dtype=torch.uint8) for _ in sizes]
        own = torch.frombuffer(bytearray(said.ljust(longest)), dtype=torch.uint8)
        self._group.allgather(parts, own).wait()
        return [json.loads(bytes(part.numpy())) for part in parts]

    def _hear(self, rank: int, key: str, value: Any, add: bool) -> None:
        told = self._heard[key]
        told[rank] = value + max(told.values(), default=0) if add else value
        if key == _FAILED:
            self._trouble = self._trouble or value

    def _lost(self, error: RuntimeError) -> str:
        """Which process is dead: gloo tells the first one, and the others that the first one knows."""
        found = re.search(r"Ranks? ([\d, ]+) failed to pass", str(error))
        if found:
            how = f"process {found[1]} of {self.world} has been killed (out of memory?) or stopped"
        else:
            how = f"process 0 of {self.world} has been killed or stopped, or says itself which other one has"
        return f"{how}; what is done is kept, run the same command again"
