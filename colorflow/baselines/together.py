"""Work on several pages at once: those of one working size in one pass of a network, each result in its page's place.

None of the ported networks mixes the samples of a batch in eval mode, so that a page's result is, up to rounding, what
it would be alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def together(
    items: Sequence[Item], key: Callable[[Item], Hashable], work: Callable[[list[Item]], Iterable[Result]]
) -> list[Result]:
    """Hand items of equal keys over together.

    Args:
        items: Anything.
        key: What items that go together have in common.
        work: Returns a result for each item that it is given, in their order.

    Returns:
        A result an item, in the order of the items.

    Raises:
        ValueError: For fewer or more results than items.
    """
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(key(item), []).append(place)
    results: dict[int, Result] = {}
    for places in groups.values():
        results.update(zip(places, work([items[place] for place in places]), strict=True))
    return [results[place] for place in range(len(items))]
