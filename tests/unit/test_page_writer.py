"""Writing beside the work: whole files, a line each, errors that surface, nothing lost at the end."""

import errno
import threading
from pathlib import Path

import pytest
from PIL import Image
from tiny.benchmark import color_page

from colorflow.evaluation.generate import generation_folder
from colorflow.evaluation.generate.generation_folder import GenerationError, PageWriter, read_manifest
from colorflow.schema import PageRecord
from colorflow.utils.hashing import digest_file

WAIT = 30.0


def _write(folder: Path, count: int) -> None:
    with PageWriter(folder) as writer:
        for number in range(count):
            writer.write(color_page(number), _record(number))


def _record(number: int) -> PageRecord:
    return PageRecord("tint", "gray", "a", f"{number:03d}", number, 0.5, (40, 56), "")


class _Gate:
    """Stands in for ``save_png``: holds pages back until told, fails where told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, full_at: int | None = None, is_open: bool = True) -> None:
        self.begun: list[str] = []
        self.open = threading.Event()
        self.full_at = full_at
        self._save = generation_folder.save_png
        if is_open:
            self.open.set()
        monkeypatch.setattr(generation_folder, "save_png", self)

    def __call__(self, image: Image.Image, path: Path) -> None:
        self.begun.append(path.stem)
        assert self.open.wait(WAIT)
        if self.full_at is not None and int(path.stem) >= self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._save(image, path)


def test_a_page_has_its_line_when_its_file_is_whole(tmp_path, monkeypatch):
    gate = _Gate(monkeypatch, is_open=False)
    with PageWriter(tmp_path) as writer:
        for number in range(3):
            writer.write(color_page(number), _record(number))  # returns: the next page can be computed
        assert read_manifest(tmp_path) == {}
        assert not list(tmp_path.rglob("*.png"))
        gate.open.set()
    records = read_manifest(tmp_path)
    assert sorted(records) == [("a", "000"), ("a", "001"), ("a", "002")]
    assert sorted(writer.records, key=lambda record: record["page"]) == [
        record | {"size": tuple(record["size"])} for _, record in sorted(records.items())
    ]
    for (chapter, page), record in records.items():
        assert record["sha256"] == digest_file(tmp_path / chapter / f"{page}.png")
        with Image.open(tmp_path / chapter / f"{page}.png") as picture:
            assert picture.tobytes() == color_page(int(page)).tobytes()


def test_few_pages_are_on_their_way(tmp_path, monkeypatch):
    gate = _Gate(monkeypatch, is_open=False)
    with PageWriter(tmp_path) as writer:
        given: list[int] = []

        def give() -> None:
            for number in range(20):
                writer.write(color_page(number), _record(number))
                given.append(number)

        thread = threading.Thread(target=give)
        thread.start()
        while len(given) < 4:
            thread.join(0.01)
        thread.join(0.2)
        assert len(given) == 4
        gate.open.set()
        thread.join(WAIT)
    assert len(read_manifest(tmp_path)) == 20


def test_a_full_disk_stops_the_run_and_keeps_what_is_there(tmp_path, monkeypatch):
    gate = _Gate(monkeypatch, full_at=3)
    with pytest.raises(GenerationError, match=r"003\.png: expected to write the page.*No space left.*make room"):
        _write(tmp_path, 100)
    assert len(gate.begun) < 10
    assert sorted(page for _, page in read_manifest(tmp_path)) == ["000", "001", "002"]
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["000.png", "001.png", "002.png"]


def test_the_last_pages_error_is_not_lost(tmp_path, monkeypatch):
    _Gate(monkeypatch, full_at=1)
    with pytest.raises(GenerationError, match=r"001\.png"):
        _write(tmp_path, 2)


def test_a_manifest_that_cannot_be_written_stops_the_run(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("colorflow.distributed.shared_lines.append_jsonl", full)
    with pytest.raises(GenerationError, match="No space left"):
        _write(tmp_path, 1)
    assert read_manifest(tmp_path) == {}


def test_an_interrupted_run_keeps_the_pages_on_their_way(tmp_path, monkeypatch, caplog):
    _Gate(monkeypatch, full_at=2)

    def interrupted() -> None:
        with PageWriter(tmp_path) as writer:
            for number in range(3):
                writer.write(color_page(number), _record(number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(page for _, page in read_manifest(tmp_path)) == ["000", "001"]
    assert "002.png: expected to write the page" in caplog.text
