"""Lossless PNG written beside the colouring: while pages are encoded and hashed, the next one is computed."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from PIL import Image

from colorflow.distributed.shared_lines import SharedLines
from colorflow.evaluation.generate.generation_folder import MANIFEST, GenerationError, Record
from colorflow.schema import PageRecord
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import save_png
from colorflow.utils.log import get_logger

_IN_FLIGHT = 4
"""Pages that wait or are being written at most: what a kill can cost beside the page that is computed."""

logger = get_logger(__name__)


class PageWriter:
    """Writes pages in threads; a page's line in the manifest comes when its file is whole.

    As a context manager it ends when all is written, also after an error.

    Args:
        folder: Folder of the chapter folders.
        writer: Number of this process among those that write there.

    Attributes:
        records: Of the pages written so far, in no order.
    """

    def __init__(self, folder: Path, writer: int = 0) -> None:
        self.records: list[Record] = []
        self._folder = folder
        self._manifest = SharedLines(folder / MANIFEST, writer)
        self._lock = Lock()
        self._pending: deque[Future[None]] = deque()
        self._threads = ThreadPoolExecutor(min(_IN_FLIGHT, os.cpu_count() or 1), thread_name_prefix="png")

    def write(self, image: Image.Image, record: PageRecord) -> None:
        """Begin to write a page; waits only while too many are on their way.

        Args:
            image: RGB; not changed afterwards.
            record: Its record, the digest still empty.

        Raises:
            GenerationError: Where this or an earlier page cannot be written.
        """
        while self._pending and (len(self._pending) >= _IN_FLIGHT or self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.append(self._threads.submit(self._write, image, record))

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all pages.

        Raises:
            GenerationError: For the first that could not be written, unless another error is on its way.
        """
        self._threads.shutdown()
        failed = [problem for pending in self._pending if (problem := pending.exception()) is not None]
        if failed and error is None:
            raise failed[0]
        for problem in failed:
            logger.error("%s", problem)

    def _write(self, image: Image.Image, record: PageRecord) -> None:
        path = self._folder / record.chapter / f"{record.page}.png"
        try:
            save_png(image, path)
            whole = asdict(replace(record, sha256=digest_file(path)))
            with self._lock:
                self._manifest.append(whole)
                self.records.append(whole)
        except OSError as error:
            raise GenerationError(
                f"{path}: expected to write the page, got {type(error).__name__}: {error}; what was written before is "
                "kept: make room there and run again"
            ) from error
