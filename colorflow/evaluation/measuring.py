"""From pictures to what metrics are made of: pixel scores by page, and what networks answer.

Each picture is decoded once for all of them. Threads decode, score pixels and prepare, a few pages ahead;
networks run in batches meanwhile. Whatever is done is on disk at once, and is not done again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from colorflow.baselines.predictions import PredictionsError
from colorflow.evaluation.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.features import FeatureStore
from colorflow.evaluation.protocol import RESIZE_RULE, Protocol
from colorflow.evaluation.suite import Part, Suite
from colorflow.utils.hashing import digest_json
from colorflow.utils.images import load_image

Row = dict[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")

Side = Literal["prediction", "target", "pair"]
Wanted = tuple[str, Side]

_AHEAD = 2
"""Pages prepared beyond those being worked on, a thread; each holds some megabytes."""


@dataclass(frozen=True)
class Job:
    """What is still to be done for one page.

    Attributes:
        page: The page.
        path: Its prediction.
        key: Everything of its row but the numbers.
        pixels: Whether the pixel scores are missing.
        wanted: Parts of the suite that have not seen the page, and what of it.
    """

    page: BenchmarkPage
    path: Path
    key: Row
    pixels: bool
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class Prepared:
    """A job after decoding: the row, where it was missing, and what networks are to be given."""

    job: Job
    row: Row | None
    inputs: dict[Wanted, Tensor] = field(default_factory=dict)


class Answers:
    """The stores of every part of a suite for one row of the table; truths are shared by all rows.

    Args:
        suite: Parts.
        protocol: Sizes; features at other sizes are others.
        cache: The row's file of page scores; its features lie beside it. None: nothing is kept.
        writer: Number of this process among those that measure the row.
    """

    def __init__(self, suite: Suite, protocol: Protocol, cache: Path | None, writer: int = 0) -> None:
        self.suite = suite
        self._stores: dict[Wanted, FeatureStore] = {}
        for name, part in suite.parts.items():
            for side in _sides(part):
                self._stores[name, side] = FeatureStore(_store_path(cache, name, part, protocol, side), writer)

    def missing(self, key: Row) -> tuple[Wanted, ...]:
        """What no network has answered yet about the page of this row."""
        return tuple(wanted for wanted, store in self._stores.items() if picture_key(key, wanted[1]) not in store)

    def add(self, wanted: Wanted, key: Row, features: Tensor) -> None:
        """Keep an answer."""
        self._stores[wanted].add(picture_key(key, wanted[1]), features)

    def rows(self, part: str, side: Side, keys: Sequence[Row]) -> Tensor:
        """``(N, D)`` of these pages."""
        return self._stores[part, side].rows([picture_key(key, side) for key in keys])


class Batches:
    """Collects prepared pictures and asks a network when a batch is full.

    Which pages make a batch, and a page's place in it, follow from its index in the benchmark: whoever asks, in
    whatever pieces, gets the same bits.

    Args:
        answers: Where answers go.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._queues: dict[tuple[Wanted, torch.Size], list[tuple[Job, Tensor]]] = {}

    def add(self, prepared: Prepared) -> None:
        """Queue what networks are to see of a page; pages come in the order of the benchmark."""
        index = prepared.job.page.index
        for wanted, pixels in prepared.inputs.items():
            size = self._answers.suite.parts[wanted[0]].network.batch_size
            key = (wanted, pixels.shape)  # pages of other sizes, where scored at their own, cannot go together
            queue = self._queues.setdefault(key, [])
            if queue and queue[0][0].page.index // size != index // size:
                self._ask(key)
            queue.append((prepared.job, pixels))
            if index % size == size - 1:
                self._ask(key)

    def finish(self) -> None:
        """Ask for what is left."""
        for key in self._queues:
            self._ask(key)

    def _ask(self, key: tuple[Wanted, torch.Size]) -> None:
        queue, wanted = self._queues[key], key[0]
        if queue:
            network = self._answers.suite.parts[wanted[0]].network
            features = network.forward([pixels for _, pixels in queue], [job.page.index for job, _ in queue])
            for (job, _), row in zip(queue, features, strict=True):
                self._answers.add(wanted, job.key, row)
            queue.clear()


def prepare(job: Job, benchmark: Benchmark, protocol: Protocol, suite: Suite) -> Prepared:
    """Decode a page and its truth, score the pixels, prepare what networks see.

    Raises:
        PredictionsError: For a picture that cannot be read or does not show the page.
    """
    try:
        prediction, truth = protocol.fit(load_image(job.path), benchmark.target(job.page))
    except ValueError as error:
        raise PredictionsError(f"{job.key['method']}: page {job.page.id} ({job.path}): {error}") from error
    row = None
    if job.pixels:
        values, regions = protocol.pixel_scores(prediction, truth)
        row = job.key | values | {"regions": regions.tolist()}
    pictures = {"prediction": (prediction,), "target": (truth,), "pair": (prediction, truth)}
    inputs = {
        wanted: suite.parts[wanted[0]].network.prepare(*pictures[wanted[1]]).to(torch.float32) for wanted in job.wanted
    }
    return Prepared(job, row, inputs)


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Apply a function in threads, a few items ahead; results come in order."""
    threads = min(4, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(max_workers=threads)
    running: deque[Future[Result]] = deque()
    try:
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) >= threads * _AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def picture_key(key: Row, side: Side) -> str:
    """What an answer is kept under: digests of picture and truth (the truth's size may be the metric size)."""
    if side == "target":
        return str(key["target_sha256"])
    return f"{key['prediction_sha256']}:{key['target_sha256']}"


def _sides(part: Part) -> tuple[Side, ...]:
    sides: dict[str, tuple[Side, ...]] = {
        "pages": ("prediction", "target"),
        "predictions": ("prediction",),
        "pairs": ("pair",),
    }
    return sides[part.sees]


def _store_path(cache: Path | None, name: str, part: Part, protocol: Protocol, side: Side) -> Path | None:
    """``<row>.<part>-<digest>.jsonl`` beside the row's scores, ``targets.<part>-<digest>.jsonl`` above them."""
    if cache is None:
        return None
    size = protocol.metric_size if protocol.metric_size == "native" else list(protocol.metric_size)
    digest = digest_json([part.network.id, part.network.digest, size, RESIZE_RULE])[:12]
    if side == "target":
        return cache.parent.parent / f"targets.{name}-{digest}.jsonl"
    return cache.with_name(f"{cache.stem}.{name}-{digest}.jsonl")
