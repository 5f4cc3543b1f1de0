"""One progress bar for every stage, on stderr."""

from __future__ import annotations

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
