"""What wandb has kept of an offline run, read back from its file without wandb's servers."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK, _HEADER = 32768, 7


def records(run: Path, patience: float = 30.0) -> list[Record]:
    """Every record of ``offline-run-*/``, when its last one is written: wandb's service does that behind a finish."""
    limit = time.monotonic() + patience
    while True:
        found = list(_records(run))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        assert time.monotonic() < limit, "wandb has not finished its file"
        time.sleep(0.1)


def _records(run: Path) -> Iterator[Record]:
    """LevelDB's log format, after seven bytes of wandb's own."""
    data = next(run.glob("*.wandb")).read_bytes()
    assert data[:4] == b":W&B"
    place, parts = _HEADER, b""
    while place + _HEADER <= len(data):
        room = _BLOCK - place % _BLOCK
        if room < _HEADER:  # too little for a record's header: filled with zeros
            place += room
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        if kind == 0:
            return
        part = data[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        parts = part if kind in (1, 2) else parts + part  # whole, first | middle, last
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            yield record


def history(run: Path) -> list[dict[str, Any]]:
    """The logged rows in order."""
    rows = []
    for record in records(run):
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def configuration(run: Path) -> dict[str, Any]:
    """The run's configuration, by top key."""
    found = {}
    for record in records(run):
        updates = [record.config] if record.WhichOneof("record_type") == "config" else []
        updates += [record.run.config] if record.WhichOneof("record_type") == "run" else []
        for item in (item for update in updates for item in update.update):
            found[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return found


def alerts(run: Path) -> list[tuple[str, str]]:
    """Title and text of each alert."""
    found = [record for record in records(run) if record.WhichOneof("record_type") == "alert"]
    return [(record.alert.title, record.alert.text) for record in found]
