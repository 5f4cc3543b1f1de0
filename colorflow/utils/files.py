"""Files that are either whole or absent: atomic writes and append-only JSON lines."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends without an error.

    Parents are created. After an error, or a kill, ``path`` is as it was before. The temporary
    name keeps the suffix (``.name.<token>.png``), since writers choose the format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``path`` and all in it when the block ends without an error.

    Parents are created. After an error ``path`` is as it was before.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        fresh = Path(temporary) / target.name
        fresh.mkdir()
        yield fresh
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)


def remove_unfinished(folder: str | os.PathLike[str], suffix: str) -> None:
    """Remove what killed processes have left of files with a suffix (for a folder that one process writes to)."""
    for left in Path(folder).glob(f".*-????????{suffix}"):
        left.unlink()


def write_text_atomic(text: str, path: str | os.PathLike[str]) -> None:
    """Write UTF-8 text, the same bytes on every system (no newline translation)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json_atomic(value: Any, path: str | os.PathLike[str]) -> None:
    """Write a value as indented UTF-8 JSON with a final newline; keys keep their order."""
    write_text_atomic(json.dumps(value, indent=2, ensure_ascii=False) + "\n", path)


def append_jsonl(record: Any, path: str | os.PathLike[str]) -> None:
    """Append one record as a line of JSON; one writer at a time.

    A last line that an earlier, killed writer left torn is cut off first, so that it cannot
    spoil the new one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    with open(target, "a+b") as file:
        prefix = _mend_tail(file)
        file.write(prefix + line)


def read_jsonl(path: str | os.PathLike[str]) -> list[Any]:
    """Read a file of JSON lines; a torn last line (no newline, not whole) is left out.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: For a complete line that is not JSON, with its number.
    """
    *lines, tail = Path(path).read_bytes().split(b"\n")
    records = [_parse(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
    if tail.strip() and _is_whole(tail):
        records.append(json.loads(tail))
    return records


def _mend_tail(file: Any) -> bytes:
    """Cut a torn last line off; return the newline that a whole but unfinished one lacks."""
    end = file.seek(0, os.SEEK_END)
    start, tail = end, b""
    while start > 0 and b"\n" not in tail:
        start = max(0, start - 65536)
        file.seek(start)
        tail = file.read(end - start)
    last = tail.rpartition(b"\n")[2]
    if not last:
        return b""
    if _is_whole(last):
        return b"\n"
    file.truncate(end - len(last))
    return b""


def _is_whole(line: bytes) -> bool:
    """Whether a line without a newline is a finished value: one that closes itself, as a number does not."""
    try:
        return isinstance(json.loads(line), dict | list | str)
    except ValueError:
        return False


def _parse(line: bytes, number: int, path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(
            f"{os.fspath(path)}, line {number}: expected one JSON value, got {line[:60]!r} ({error}); "
            "remove that line or the file"
        ) from error
