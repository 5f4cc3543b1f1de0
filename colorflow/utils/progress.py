"""Long runs: one progress bar for every stage, on stderr, and how many failures are forgiven."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(total: int, description: str, unit: str = "it", show: bool = True, done: int = 0) -> Any:
    """A bar to update by hand; in a log, which is no terminal, it says how far it is twice a minute."""
    seldom = 0.1 if sys.stderr.isatty() else 30.0
    disable = not (show and total)
    return tqdm(total=total, desc=description, unit=unit, initial=done, disable=disable, mininterval=seldom)


def track(items: Sequence[T], description: str, show: bool = True, unit: str = "it") -> Iterator[T]:
    """Iterate with a bar; silent where ``show`` is false or there is nothing to do."""
    with bar(len(items), description, unit, show) as shown:
        for item in items:
            yield item
            shown.update()


def allowed_failures(pages: int, fraction: float) -> int:
    """Number of pages that may be missing: the fraction, rounded down, but one where any are allowed.

    Raises:
        ValueError: For a fraction outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"max_failures: expected a fraction in [0, 1], got {fraction}")
    return max(1, math.floor(fraction * pages)) if fraction else 0
