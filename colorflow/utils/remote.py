"""Files behind a URL, read by byte ranges with fsspec: http(s), s3, gs and whatever else it has a driver for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from colorflow.utils.log import get_logger

_WAITS = (1.0, 5.0, 20.0)
"""Seconds before each further attempt."""

ValueT = TypeVar("ValueT")
_log = get_logger(__name__)


class RemoteError(OSError):
    """A file behind a URL cannot be read."""


@dataclass(frozen=True)
class RemotePath:
    """A file or folder behind a URL, with as much of `pathlib.Path` as readers of shards need.

    Attributes:
        url: For example ``https://host/shards`` or ``s3://bucket/shards``.
    """

    url: str

    def __str__(self) -> str:
        """Return the URL."""
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        """Return what has a name in this folder."""
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self.url.rstrip("/").rpartition("/")[2]

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open for reading from front to back."""
        return self._try(lambda files, path: files.open(path, mode))

    def read_bytes(self) -> bytes:
        """Return the whole file."""
        return self._try(lambda files, path: files.cat_file(path))

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to before ``stop``; fewer where the file ends earlier.

        Raises:
            RemoteError: Also for a server that answers with the whole file.
        """
        data: bytes = self._try(lambda files, path: files.cat_file(path, start, stop))
        if len(data) > stop - start:
            raise RemoteError(
                f"{self}: expected {stop - start} bytes, got {len(data)}: the server does not answer range requests; "
                "use one that does, or copy the shards to a disk"
            )
        return data

    def _try(self, read: Callable[[Any, str], ValueT]) -> ValueT:
        """Do it again after a while where the network failed, not where there is no such file."""
        import fsspec  # slow to import, and most places are folders

        for wait in (*_WAITS, None):
            try:
                return read(*fsspec.url_to_fs(self.url))  # anew: a file system does not outlive a fork
            except (FileNotFoundError, ImportError, ValueError) as error:
                raise RemoteError(f"{self}: expected a file, got {type(error).__name__}: {error}") from error
            except Exception as error:  # every driver has errors of its own
                told = f"{type(error).__name__}: {error}"
                if wait is None:
                    raise RemoteError(f"{self}: cannot be read after {len(_WAITS) + 1} attempts ({told})") from error
                _log.warning("%s: %s; once more in %g s", self, told, wait)
                time.sleep(wait)
        raise AssertionError("unreachable")


def find(place: str | Path | RemotePath) -> Path | RemotePath:
    """Return a place on this machine's disks, or behind a URL, as what can be read."""
    if isinstance(place, RemotePath):
        return place
    return RemotePath(str(place)) if is_remote(place) else Path(place)


def is_remote(place: str | Path) -> bool:
    """Whether a place is a URL."""
    return "://" in str(place)


def read_range(path: Path | RemotePath, start: int, stop: int) -> bytes:
    """Return the bytes of a file from ``start`` to before ``stop``; fewer where the file ends earlier."""
    if isinstance(path, RemotePath):
        return path.read_range(start, stop)
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(stop - start)
