"""Lines of several writers: each in a file of its own, read as one, joined without losing any."""

import json
from pathlib import Path

import pytest

from colorflow.distributed import shared_lines
from colorflow.distributed.shared_lines import SharedLines
from colorflow.utils.files import read_jsonl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three writers have written; one of them was killed in the middle of a line."""
    path = tmp_path / "row.jsonl"
    for writer in (10, 0, 2):
        for number in range(2):
            SharedLines(path, writer).append([writer, number])
    with open(tmp_path / "row@2.jsonl", "a") as file:
        file.write("[2, ")
    return path


ALL = [[0, 0], [0, 1], [2, 0], [2, 1], [10, 0], [10, 1]]


def test_every_writer_has_a_file_of_its_row_and_reads_all(path):
    assert {file.name for file in path.parent.iterdir()} == {"row.jsonl", "row@2.jsonl", "row@10.jsonl"}
    assert SharedLines(path).read() == SharedLines(path, 2).read() == ALL
    assert SharedLines(path.with_name("none.jsonl")).read() == []
    for name in ("row.clip-1.jsonl", "row2.jsonl", "a_row.jsonl"):
        SharedLines(path.with_name(name), 1).append([99])
    assert SharedLines(path).read() == ALL


def test_joined_they_are_one_file(path):
    SharedLines(path).replace(SharedLines(path).read())
    assert list(path.parent.iterdir()) == [path]
    assert read_jsonl(path) == ALL
    SharedLines(path).replace([])
    assert SharedLines(path).read() == []


def test_a_kill_while_they_are_joined_loses_none(path, monkeypatch):
    original = shared_lines.write_text_atomic

    def killed(*arguments: object) -> None:
        original(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(shared_lines, "write_text_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        SharedLines(path).replace(SharedLines(path).read())
    found = SharedLines(path).read()
    assert {json.dumps(record) for record in found} == {json.dumps(record) for record in ALL}
