"""What a method is asked in a row of a benchmark, one page or several at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.methods import References
from colorflow.schema import NATIVE_SIZE, BatchColorizer, Colorizer, PageRecord, ReferencePool
from colorflow.utils.images import to_rgb
from colorflow.utils.log import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True)
class Colored:
    """A page, its result, the seconds it took and the size it was computed at."""

    page: BenchmarkPage
    image: Image.Image
    seconds: float
    size: tuple[int, int]


@dataclass(frozen=True)
class ColoringJob:
    """What is asked of a method: arguments of ``generate`` under their names."""

    method: Colorizer
    benchmark: Benchmark
    row: str
    style: str
    references: References
    base_seed: int

    @property
    def name(self) -> str:
        """For messages, and in names that processes meet under."""
        return f"{self.row} ({self.style})"

    def one(self, page: BenchmarkPage) -> Colored:
        """Colour a page."""
        image, pool = self._inputs(page)
        start = time.perf_counter()
        result = self.method.colorize(image, pool, seed=self._seed(page))
        return _checked(page, result, time.perf_counter() - start)

    def together(self, pages: Sequence[BenchmarkPage]) -> list[Colored] | None:
        """`at_once`; None where that fails."""
        try:
            return self.at_once(pages)
        except Exception as error:  # out of memory, too: what the attempt held is free once this returns
            names = ", ".join(page.id for page in pages)
            logger.warning("%s: pages %s failed together and are tried one by one: %s", self.row, names, error)
            return None

    def record(self, colored: Colored) -> PageRecord:
        """Of a page that is not written yet: without digest."""
        page, seconds = colored.page, round(colored.seconds, 4)
        return PageRecord(
            self.row, self.style, page.chapter, page.name, self._seed(page), seconds, colored.size, sha256=""
        )

    def at_once(self, pages: Sequence[BenchmarkPage]) -> list[Colored]:
        """Colour pages in one call; each is said to have taken an equal part of the time."""
        assert isinstance(self.method, BatchColorizer)
        images, pools = zip(*map(self._inputs, pages), strict=True)
        start = time.perf_counter()
        results = self.method.colorize_batch(images, pools, seeds=[self._seed(page) for page in pages])
        seconds = (time.perf_counter() - start) / len(pages)
        return [_checked(page, result, seconds) for page, result in zip(pages, results, strict=True)]

    def _inputs(self, page: BenchmarkPage) -> tuple[Image.Image, ReferencePool]:
        return self.benchmark.input(page, self.style), self.benchmark.references(page, self.references)

    def _seed(self, page: BenchmarkPage) -> int:
        return self.base_seed + page.index


def _checked(page: BenchmarkPage, result: Any, seconds: float) -> Colored:
    if not isinstance(result, Image.Image):
        raise TypeError(f"colorize: expected a PIL image, got {type(result).__name__}")
    return Colored(page, to_rgb(result), seconds, result.info.get(NATIVE_SIZE, result.size))
