"""From pictures to what metrics are made of: pixel scores by page, and what networks answer.

Each picture is decoded once for all of them. Threads decode, score pixels and prepare, a few pages ahead;
networks run in batches meanwhile, on a CPU in the same threads. Whatever is done is on disk at once, and is not
done again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from colorflow.baselines.predictions import PredictionsError
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.results import Row
from colorflow.evaluation.score.features import FeatureStore
from colorflow.evaluation.score.protocol import RESIZE_RULE, Protocol
from colorflow.evaluation.score.suite import Suite
from colorflow.metrics import FREE_METRICS, MetricSpec, PageNetwork, PagePair, is_ours
from colorflow.metrics.networks import Side
from colorflow.utils.hashing import digest_json
from colorflow.utils.images import load_image

Item = TypeVar("Item")
Result = TypeVar("Result")

Wanted = tuple[PageNetwork, Side]

_AHEAD = 2
"""Pages prepared beyond those being worked on, a thread; each holds some megabytes."""


@dataclass(frozen=True)
class Job:
    """What is still to be done for one page.

    Attributes:
        page: The page.
        path: Its prediction.
        key: Everything of its row but the numbers.
        pixels: Metrics without network that its row lacks.
        wanted: Networks that have not seen the page, and what of it.
    """

    page: BenchmarkPage
    path: Path
    key: Row
    pixels: tuple[MetricSpec, ...]
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class Prepared:
    """A job after decoding: what was missing in its row, and what networks are to be given."""

    job: Job
    values: Row
    inputs: dict[Wanted, Tensor] = field(default_factory=dict)


class Answers:
    """What networks answered for one row of the table; what they saw of truths is shared by all rows.

    Args:
        suite: Metrics.
        protocol: Sizes; features at other sizes are others.
        cache: The row's file of page scores; its features lie beside it. None: nothing is kept.
        writer: Number of this process among those that measure the row.
    """

    def __init__(self, suite: Suite, protocol: Protocol, cache: Path | None, writer: int = 0) -> None:
        self.suite = suite
        looks = [(network, side) for spec, network in _networks(suite) for side in spec.sides(network)]
        self._stores = {
            wanted: FeatureStore(_store_path(cache, protocol, *wanted), writer) for wanted in dict.fromkeys(looks)
        }

    def missing(self, key: Row) -> tuple[Wanted, ...]:
        """What no network has answered yet about the page of this row."""
        return tuple(wanted for wanted, store in self._stores.items() if picture_key(key, wanted[1]) not in store)

    def add(self, wanted: Wanted, key: Row, features: Tensor) -> None:
        """Keep an answer."""
        self._stores[wanted].add(picture_key(key, wanted[1]), features)

    def of(self, spec: MetricSpec, rows: Sequence[Row]) -> list[Tensor]:
        """What these pages gave to a metric, as ``MetricSpec.reduce`` takes it."""
        network = self.suite.networks.get(spec.key)
        if network is None:
            values = [row[column(spec)] for row in rows]
            rows_of = [[value] for value in values] if spec.a_page else [line for page in values for line in page]
            return [torch.tensor(rows_of, dtype=torch.float64)]
        return [
            self._stores[network, side].rows([picture_key(row, side) for row in rows]) for side in spec.sides(network)
        ]


class Batches:
    """Collects prepared pictures and asks a network when a batch is full.

    Which pages make a batch, and a page's place in it, follow from its index in the benchmark: whoever asks, in
    whatever pieces, gets the same bits.

    Args:
        answers: Where answers go.
        pool: Of ``single_threads``; networks on the CPU answer in it.
    """

    def __init__(self, answers: Answers, pool: ThreadPoolExecutor) -> None:
        self._answers, self._pool = answers, pool
        self._asked: deque[tuple[Wanted, list[Job], Future[Tensor]]] = deque()
        self._queues: dict[tuple[Wanted, torch.Size], list[tuple[Job, Tensor]]] = {}

    def add(self, prepared: Prepared) -> None:
        """Queue what networks are to see of a page; pages come in the order of the benchmark."""
        index = prepared.job.page.index
        for wanted, pixels in prepared.inputs.items():
            size = wanted[0].batch_size
            key = (wanted, pixels.shape)  # pages of other sizes, where scored at their own, cannot go together
            queue = self._queues.setdefault(key, [])
            if queue and queue[0][0].page.index // size != index // size:
                self._ask(key)
            queue.append((prepared.job, pixels))
            if index % size == size - 1:
                self._ask(key)

    def finish(self) -> None:
        """Ask for what is left, and wait for all answers."""
        for key in self._queues:
            self._ask(key)
        self._keep(waiting=0)

    def _ask(self, key: tuple[Wanted, torch.Size]) -> None:
        queue, wanted = self._queues[key], key[0]
        if not queue:
            return
        network = wanted[0]
        jobs, pictures = [job for job, _ in queue], [pixels for _, pixels in queue]
        places = [job.page.index for job in jobs]
        if network.device.type == "cpu":
            answer = self._pool.submit(network.forward, pictures, places)
        else:
            answer = Future()
            answer.set_result(network.forward(pictures, places))
        self._asked.append((wanted, jobs, answer))
        queue.clear()
        self._keep(waiting=_AHEAD)

    def _keep(self, waiting: int) -> None:
        """Store the answers that have come, in the order of asking; wait for all but the last few."""
        while self._asked and (len(self._asked) > waiting or self._asked[0][2].done()):
            wanted, jobs, answer = self._asked.popleft()
            for job, row in zip(jobs, answer.result(), strict=True):
                self._answers.add(wanted, job.key, row)


def prepare(job: Job, benchmark: Benchmark, protocol: Protocol) -> Prepared:
    """Decode a page and its truth, score the pixels, prepare what networks see.

    Raises:
        PredictionsError: For a picture that cannot be read or does not show the page.
    """
    try:
        prediction, truth = protocol.fit(load_image(job.path), benchmark.target(job.page))
    except ValueError as error:
        raise PredictionsError(f"{job.key['method']}: page {job.page.id} ({job.path}): {error}") from error
    pair, options = PagePair.of(prediction, truth, benchmark.parts(job.page)), {"ssim_window": protocol.ssim_window}
    found = {spec: spec.bound(options).of_page(pair) for spec in job.pixels}
    values = {column(spec): rows.item() if spec.a_page else rows.tolist() for spec, rows in found.items()}
    pictures = {"prediction": (prediction,), "target": (truth,), "pair": (prediction, truth)}
    inputs = {wanted: wanted[0].prepare(*pictures[wanted[1]]).to(torch.float32) for wanted in job.wanted}
    return Prepared(job, values, inputs)


def column(spec: MetricSpec) -> str:
    """What a metric without network is kept under in the row of a page.

    The row's protocol covers the definitions of ``FREE_METRICS``; others go with a digest of theirs.
    """
    if spec.key in FREE_METRICS and is_ours(spec):
        return spec.key
    return f"{spec.key}-{digest_json([spec.function.__module__, spec.definition])[:12]}"


@contextmanager
def single_threads() -> Iterator[ThreadPoolExecutor]:
    """A pool in whose threads torch uses one core each.

    Pages and batches side by side share nothing, while the cores of one batch wait for each other at every layer; and
    what a network answers no longer depends on how many cores there are.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(_workers(), initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # of some libraries the number is the process's


def in_order(pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply a function in the pool's threads, a few items ahead; results come in order."""
    running: deque[Future[Result]] = deque()
    for item in items:
        running.append(pool.submit(function, item))
        if len(running) >= _workers() * _AHEAD:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _workers() -> int:
    return max(torch.get_num_threads(), min(4, os.cpu_count() or 1))


def picture_key(key: Row, side: Side) -> str:
    """What an answer is kept under: digests of picture and truth (the truth's size may be the metric size)."""
    if side == "target":
        return str(key["target_sha256"])
    return f"{key['prediction_sha256']}:{key['target_sha256']}"


def _networks(suite: Suite) -> Iterator[tuple[MetricSpec, PageNetwork]]:
    return ((spec, suite.networks[spec.key]) for spec in suite.specs if spec.key in suite.networks)


def _store_path(cache: Path | None, protocol: Protocol, network: PageNetwork, side: Side) -> Path | None:
    """``<row>.<network>-<digest>.jsonl`` beside the row's scores, ``targets.<network>-<digest>.jsonl`` above them."""
    if cache is None:
        return None
    size = protocol.metric_size if protocol.metric_size == "native" else list(protocol.metric_size)
    digest = digest_json([network.id, network.digest, size, RESIZE_RULE])[:12]
    if side == "target":
        return cache.parent.parent / f"targets.{network.name}-{digest}.jsonl"
    return cache.with_name(f"{cache.stem}.{network.name}-{digest}.jsonl")
