"""One launch at a time in an output folder: two would write the same files."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from colorflow.utils.log import get_logger

LOCK = ".output.lock"

logger = get_logger(__name__)


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
    file = _lock(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def _lock(path: Path) -> int:
    """Open and lock; again where the holder before has just removed the file that was opened."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 1000).decode(errors="replace")
            os.close(file)
            raise OutputLockError(
                f"{path.parent}: another launch writes there ({holder or 'just begun'}); wait for its end, or "
                "choose another output"
            ) from error
        except OSError as error:
            logger.warning("%s: this file system has no locks (%s); start nothing else there", path, error)
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            break
        os.close(file)
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    os.truncate(file, 0)
    os.write(file, f"since {now}, process {os.getpid()} of {socket.gethostname()}".encode())
    return file
