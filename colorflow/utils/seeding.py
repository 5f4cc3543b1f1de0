"""Seeds derived from names, so that a result depends on what it is and not on who computed it."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stable_seed(*parts: int | str) -> int:
    """Derive a 63-bit seed from integers and strings, equal on every machine and Python.

    Args:
        *parts: At least one integer or string; order, type and boundaries all count
            (``("ab", "c")``, ``("a", "bc")`` and ``("1",)``, ``(1,)`` differ).

    Returns:
        An integer in [0, 2**63).

    Raises:
        TypeError: For a part that is neither an integer nor a string (a float's text is not stable).
        ValueError: For no parts at all.
    """
    if not parts:
        raise ValueError("stable_seed: expected at least one part, got none; name what the seed is for")
    digest = hashlib.sha256()
    for part in parts:
        payload = _encode(part)
        digest.update(len(payload).to_bytes(8, "big") + payload)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """Return a new CPU generator seeded by ``stable_seed(*parts)``."""
    return torch.Generator(device="cpu").manual_seed(stable_seed(*parts))


@contextmanager
def fixed_draws() -> Iterator[None]:
    """Give what a library draws on the CPU inside, taking no generator, a fixed seed; the state outside is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _encode(part: int | str) -> bytes:
    """Tag a part with its type, so that 1 and "1" differ."""
    if isinstance(part, str):
        return b"s" + part.encode()
    try:
        return b"i" + str(operator.index(part)).encode()
    except TypeError:
        raise TypeError(f"stable_seed: expected integers and strings, got {type(part).__name__} {part!r}") from None
