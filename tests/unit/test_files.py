"""Whole files or none, JSON lines after a kill, digests, and one voice among many ranks."""

import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from colorflow.utils.files import append_jsonl, atomic_path, read_jsonl, write_json_atomic, write_text_atomic
from colorflow.utils.hashing import digest_bytes, digest_file, digest_image, digest_json
from colorflow.utils.log import get_logger, is_rank_zero

RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the published SHA-256 of nothing


def test_text_and_json_are_written_as_they_are_under_the_umask(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text_atomic("é\r\nline\n", path)
    assert path.read_bytes() == b"\xc3\xa9\r\nline\n"
    assert list(path.parent.iterdir()) == [path]
    value = {"b": [1, 2.5, None], "a": "é"}
    write_json_atomic(value, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.index('"b"') < text.index('"a"')
    assert text.endswith("}\n")
    assert "é" in text
    write_text_atomic("x", tmp_path / "b")
    (tmp_path / "c").write_text("x")
    assert os.stat(tmp_path / "b").st_mode == os.stat(tmp_path / "c").st_mode  # others must be able to read it


def stop_halfway(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".json"
        raise RuntimeError("stop")


def test_failed_writes_leave_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json_atomic({"old": 1}, path)
    with pytest.raises(TypeError):
        write_json_atomic({"new": object()}, path)
    with pytest.raises(RuntimeError, match="stop"):
        stop_halfway(path)
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_jsonl_round_trip(tmp_path):
    path = tmp_path / "runs" / "m.jsonl"
    records = [{"page": "é\n"}, {"n": 1}, {}]
    for record in records:
        append_jsonl(record, path)
    assert read_jsonl(path) == records
    assert path.read_text(encoding="utf-8").count("\n") == 3
    path = tmp_path / "m.jsonl"
    append_jsonl({"a": 1}, path)
    with path.open("a") as file:
        file.write('{"b": "' + "x" * 200_000)
    append_jsonl({"c": 3}, path)
    assert read_jsonl(path) == [{"a": 1}, {"c": 3}]


values = st.recursive(st.one_of(st.integers(), st.text(max_size=4), st.none()), lambda s: st.lists(s, max_size=2))
records = st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), min_size=1, max_size=4)


@settings(deadline=None, max_examples=60)
@given(records, st.data())
def test_a_kill_at_any_byte_loses_the_torn_record_only(tmp_path_factory, kept, data):
    path = Path(tmp_path_factory.mktemp("jsonl")) / "m.jsonl"  # type: ignore[attr-defined]
    for record in kept:
        append_jsonl(record, path)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    # A record is there when its last byte is: the newline after it does not matter.
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    expected = kept[: sum(cut >= end for end in ends)]
    assert read_jsonl(path) == expected
    append_jsonl({"after": 1}, path)
    assert read_jsonl(path) == [*expected, {"after": 1}]


def test_spoilt_lines_and_absent_files_are_named(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"a": 1}\n{"b": \n{"c": 3}\n')
    with pytest.raises(ValueError, match=r"m\.jsonl, line 2"):
        read_jsonl(path)
    with pytest.raises(FileNotFoundError):
        read_jsonl(tmp_path / "absent.jsonl")


def test_digests_tell_contents_apart(tmp_path):
    assert digest_bytes(b"") == EMPTY
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert digest_file(tmp_path / "a") == digest_bytes(b"x" * 3_000_000)
    variants = [
        Image.new("RGB", (2, 3)),
        Image.new("RGB", (3, 2)),
        Image.new("RGB", (2, 3), (0, 0, 1)),
        Image.new("L", (6, 3)),
    ]
    assert len({digest_image(image) for image in variants}) == len(variants)
    assert digest_image(variants[0]) == digest_image(variants[0].copy())
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": 1, "b": [1, 2]}) != digest_json({"a": 1, "b": [2, 1]})
    with pytest.raises(TypeError):
        digest_json({"path": Path("x")})


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0", "NODE_RANK": "1"}, True),
        ({"SLURM_PROCID": "1"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"NODE_RANK": "0", "LOCAL_RANK": "0"}, True),
    ],
)
def test_rank_from_the_launcher(monkeypatch, variables, first):
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_rank_zero() == first


def test_other_ranks_speak_of_errors_only(monkeypatch, caplog):
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    logger = get_logger("colorflow.test_log")
    assert get_logger("colorflow.test_log") is logger
    assert len(logger.filters) == 1
    with caplog.at_level(logging.INFO):
        logger.info("first")
        monkeypatch.setenv("RANK", "1")
        logger.warning("quiet")
        logger.error("loud")
    assert [record.message for record in caplog.records] == ["first", "loud"]
