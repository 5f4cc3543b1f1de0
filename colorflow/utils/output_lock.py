"""One launch at a time in an output folder: two would write the same files."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".output.lock"


class OutputLockError(RuntimeError):
    """An output that another launch writes into; the message says which one."""


@contextmanager
def locked(output: Path, holds: bool = True) -> Iterator[None]:
    """Keep other launches out of a folder; the kernel lets go of it when the process ends, however it ends.

    Args:
        output: The folder; made where there is none.
        holds: Whether this process is the one that holds it for all; False does nothing.

    Raises:
        OutputLockError: While another launch writes there.
    """
    if not holds:
        yield
        return
    output.mkdir(parents=True, exist_ok=True)
    path = output / LOCK
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        holder = path.read_text(errors="replace") or "just begun"
        raise OutputLockError(
            f"{output}: another launch writes there ({holder}); wait for its end, or choose another output"
        ) from error
    try:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        path.write_text(f"since {now}, process {os.getpid()} of {socket.gethostname()}")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
