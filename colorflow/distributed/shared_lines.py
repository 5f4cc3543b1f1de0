"""JSON lines that several processes write at once: a file each, read as one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from colorflow.utils.files import append_jsonl, read_jsonl, write_text_atomic
from colorflow.utils.images import natural_key


class SharedLines:
    """Records in ``<stem><suffix>`` (writer 0) and ``<stem>@<n><suffix>`` (writer n), whoever wrote them.

    Args:
        path: File of writer 0.
        writer: Number of this process; what it appends goes to a file that no other process writes.
    """

    def __init__(self, path: Path, writer: int = 0) -> None:
        self.path = path
        self._own = path.with_name(f"{path.stem}@{writer}{path.suffix}") if writer else path

    def read(self) -> list[Any]:
        """All records, writer after writer; none where there is no file."""
        return [record for path in self._files() for record in read_jsonl(path)]

    def append(self, record: Any) -> None:
        """Append a record to this writer's file."""
        append_jsonl(record, self._own)

    def replace(self, records: Iterable[Any]) -> None:
        """Write all records anew as one file; only while no process appends. A kill loses none."""
        write_text_atomic("".join(json.dumps(record) + "\n" for record in records), self.path)
        for path in self._files():
            if path != self.path:
                path.unlink()

    def _files(self) -> list[Path]:
        others = self.path.parent.glob(f"{self.path.stem}@*{self.path.suffix}")
        return [
            path for path in (self.path, *sorted(others, key=lambda path: natural_key(path.name))) if path.is_file()
        ]
