"""One progress bar for every stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")


def track(items: Sequence[T], description: str, show: bool = True) -> Iterator[T]:
    """Iterate with a bar on stderr; silent where ``show`` is false or there is nothing to do."""
    yield from rich_track(items, description, disable=not (show and items), console=Console(stderr=True))
