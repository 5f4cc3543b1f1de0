"""What `perf/training.py` times a loop by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from colorflow.schema import ColorizationBatch

WARM = 2  # steps before the clock starts: allocation, and in a first repeat compilation


@dataclass(frozen=True)
class Timing:
    """Of one sample: seconds by the clock, of this process, and before the loader; peak bytes of the allocator."""

    seconds: float
    cpu_seconds: float
    wait: float
    peak: int


class StepClock:
    """Times the steps after `WARM` of a loop that takes its batches from `batches`."""

    def __init__(self, steps: int, samples: int, device: torch.device) -> None:
        self.total, self.samples, self.device = WARM + steps, samples, device
        self.waited, self._marks = 0.0, list[tuple[float, float, float]]()

    def batches(self, loader: Any) -> Iterator[ColorizationBatch]:
        """The loader's batches; how long each was waited for is added up."""
        ready = iter(loader)
        while True:
            start = time.perf_counter()
            batch = next(ready)
            self.waited += time.perf_counter() - start
            yield batch

    def after(self, step: int) -> None:
        """Called after every step, counted from 1; the device is waited for at both ends of what is timed."""
        if step in (WARM, self.total):
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            self._marks.append((time.perf_counter(), time.process_time(), self.waited))

    def timing(self) -> Timing:
        """What was found."""
        first, last = self._marks
        each = [
            (after - before) / ((self.total - WARM) * self.samples) for before, after in zip(first, last, strict=True)
        ]
        peak = torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0
        return Timing(*each, peak)
