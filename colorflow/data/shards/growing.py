"""A shard that grows chapter by chapter, and of which a kill leaves every finished chapter.

The tar grows under a hidden name; a line of ``records/<name>.jsonl`` tells of each chapter when its samples are on
the disk, and where they end. Whatever lies beyond that is overwritten, so that a build that was stopped goes on with
the very bytes of one that was not.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import webdataset

from colorflow.data.shards.index import Shard
from colorflow.utils.files import append_jsonl, read_jsonl
from colorflow.utils.hashing import digest_file
from colorflow.utils.log import get_logger

RECORDS = "records"
_log = get_logger(__name__)


class GrowingShard:
    """One shard of an unfinished folder, as far as it is written.

    Args:
        folder: The unfinished folder.
        name: The shard's name without ``.tar``.

    Attributes:
        chapters: Records of the chapters that are in it, each with ``offsets`` and ``end`` of its samples.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.tar"
        self._part = folder / f".{name}.tar.part"
        self._journal = folder / RECORDS / f"{name}.jsonl"
        self.chapters: list[dict[str, Any]] = read_jsonl(self._journal) if self._journal.exists() else []
        self.finished = bool(self.chapters) and "shard" in self.chapters[-1]
        size = self.chapters.pop()["shard"]["bytes"] if self.finished else self._end
        sizes = [path.stat().st_size for path in (self.path, self._part) if path.is_file()]
        if max(sizes, default=0) < size:
            _log.warning("%s is shorter than its record says; the shard is written again", self.path)
            self._journal.unlink()
            self.chapters, self.finished = [], False

    def append(self, record: dict[str, Any], samples: Iterable[dict[str, Any]]) -> None:
        """Write the samples of a chapter, then its record.

        Args:
            record: What is kept of the chapter, as JSON values.
            samples: Its samples as webdataset writes them: ``__key__`` and bytes by name.

        Raises:
            OSError: Where the disk is full; what was written before stays.
        """
        start, offsets = self._end, []
        self._unfinish()
        with open(self._part, "r+b") as file:
            file.seek(start)
            with webdataset.TarWriter(file, encoder=False, mtime=0) as writer:
                for sample in samples:
                    offsets.append(start + writer.tarstream.offset)
                    writer.write(sample)
                end = start + writer.tarstream.offset
            file.truncate(end)  # without the end of an archive, which comes after the last chapter only
            file.flush()
            os.fsync(file.fileno())
        self.chapters.append({**record, "offsets": offsets, "end": end})
        append_jsonl(self.chapters[-1], self._journal)

    def finish(self) -> None:
        """Close the tar and give it its name; a shard without samples has no file."""
        if not self._end:
            self._part.unlink(missing_ok=True)
            append_jsonl({"shard": {"bytes": 0}}, self._journal)
        else:
            self._unfinish()
            size = -(-(self._end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
            with open(self._part, "r+b") as file:
                file.truncate(self._end)
                file.truncate(size)  # zeros: the end of the archive
                file.flush()
                os.fsync(file.fileno())
            digest = digest_file(self._part)
            os.replace(self._part, self.path)
            append_jsonl({"shard": {"bytes": size, "sha256": digest}}, self._journal)
        self.finished = True

    @property
    def _end(self) -> int:
        """Where the samples end."""
        return self.chapters[-1]["end"] if self.chapters else 0

    def _unfinish(self) -> None:
        """Have the tar under its hidden name: new, or back from a kill between its renaming and its record."""
        if not self._part.exists():
            if self.path.exists():
                os.replace(self.path, self._part)
            else:
                self._part.parent.mkdir(parents=True, exist_ok=True)
                self._part.touch()


def read_shard(folder: Path, name: str) -> tuple[Shard | None, list[dict[str, Any]]]:
    """Return a finished shard as the index has it, None where it holds no sample, and its chapters' records."""
    *chapters, last = read_jsonl(folder / RECORDS / f"{name}.jsonl")
    offsets = [offset for chapter in chapters for offset in chapter["offsets"]]
    if not offsets:
        return None, chapters
    names = tuple(chapter["chapter"] for chapter in chapters if chapter["offsets"])
    size, digest = last["shard"]["bytes"], last["shard"]["sha256"]
    return Shard(folder / f"{name}.tar", len(offsets), size, digest, names, (*offsets, chapters[-1]["end"])), chapters
