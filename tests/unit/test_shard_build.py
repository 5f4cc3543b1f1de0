"""Building shards by any number of processes, stopped anywhere: the same bytes, and no finished chapter twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny.comics import BlockEncoder, draw_page, tiny_build, write_chapters
from tiny.ranks import in_ranks

from colorflow.data.chapters import DataError
from colorflow.data.shards import build as shard_build
from colorflow.data.shards import growing as growing_shard
from colorflow.data.shards.build import build_shards
from colorflow.data.shards.index import read_index, scan_shards
from colorflow.data.shards.plan import Listing, plan_shards
from colorflow.data.shards.sample import ShardDataset
from colorflow.distributed.ranks import RankError
from colorflow.retrieval.retriever import RandomRetriever
from colorflow.utils.output_lock import OutputLockError, locked

CHAPTERS, PAGES = 7, 4
PATCHES = PAGES * (5 + 4)
"""What the encoder sees of a chapter."""


def write(source, output, ranks=None, encoder=None, **options):
    held_out = ["ch4", "ch5", "ch6"]
    build = tiny_build(source, held_out, encoder, samples_per_shard=2 * PAGES, **options)
    return build_shards(build, output, ranks, progress=False)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = write_chapters(tmp_path_factory.mktemp("in"), CHAPTERS, PAGES)
    (root / "ch3" / "2.png").write_bytes((root / "ch3" / "2.png").read_bytes()[:100])
    shutil.copy(root / "ch0" / "1.png", root / "ch4" / "1.png")
    return root


@pytest.fixture(scope="module")
def straight(source, tmp_path_factory):
    output, encoder = tmp_path_factory.mktemp("straight") / "out", BlockEncoder()
    write(source, output, encoder=encoder)
    return output, encoder.seen


@pytest.mark.parametrize("world", [2, 3, 9])
def test_any_number_of_processes_makes_the_same_bytes(source, straight, tmp_path, world):
    encoders = [BlockEncoder() for _ in range(world)]
    made = in_ranks(world, lambda ranks: write(source, tmp_path / "out", ranks, encoders[ranks.rank]))
    assert files(tmp_path / "out") == files(straight[0])
    assert made == [read_index(tmp_path / "out")] * world
    assert sum(encoder.seen for encoder in encoders) == straight[1]
    assert not (tmp_path / "out.partial").exists()


def test_the_index_is_the_one_that_a_scan_finds(straight):
    index = read_index(straight[0])
    assert index == scan_shards(straight[0])
    assert {split: len(shards) for split, shards in index.splits.items()} == {"train": 2, "val": 2}
    report = json.loads((straight[0] / "report.json").read_text())
    assert report["splits"]["train"] == {"chapters": 4, "samples": 15, "shards": 2}
    assert report["splits"]["val"] == {"chapters": 3, "samples": 12, "shards": 2}
    assert (report["files"], report["skipped"]) == (CHAPTERS * PAGES, {"unreadable": 1})
    assert report["val_pages_in_training_chapters"] == ["ch4/1"]
    counts = report["patch_similarity"]["counts"]
    assert [sum(counts[f"rank {rank}"]) for rank in range(3)] == [27 * 4] * 3
    with Image.open(straight[0] / "report.png") as picture:
        assert len(picture.convert("RGB").getcolors(2**20)) > 8


class StopError(Exception):
    """Stands for the end of the process."""


def stop_after(calls, function):
    left = iter(range(calls))

    def stopping(*args, **options):
        result = function(*args, **options)
        if next(left, None) == calls - 1:
            raise StopError
        return result

    return stopping


@pytest.mark.parametrize(
    ("module", "name", "calls", "due"),
    [
        (shard_build, "encode_sample", 6, CHAPTERS - 1),  # in the middle of the second chapter
        (shard_build, "encode_sample", 14, CHAPTERS - 3),
        (growing_shard, "append_jsonl", 1, CHAPTERS - 1),  # a chapter is just told
        (growing_shard, "digest_file", 1, CHAPTERS - 2),  # a shard is whole and has not got its name
        (growing_shard.os, "replace", 1, CHAPTERS - 2),  # it has, and that is not told
        (shard_build, "save_index", 1, 0),
    ],
)
def test_a_stopped_build_does_no_finished_chapter_again(
    source, straight, tmp_path, monkeypatch, module, name, calls, due
):
    with monkeypatch.context() as patch:
        if name == "replace":  # not that of the plan, which comes first
            calls += 1
        patch.setattr(module, name, stop_after(calls, getattr(module, name)))
        with pytest.raises(StopError):
            write(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    encoder = BlockEncoder()
    write(source, tmp_path / "out", encoder=encoder)
    assert files(tmp_path / "out") == files(straight[0])
    damaged = 0 if due < CHAPTERS - 3 else 1  # ch3 has a page less
    assert encoder.seen in {due * PATCHES, due * PATCHES - 9 * damaged}


KILL = """
import os, signal, sys
from pathlib import Path
from test_shard_build import write
from tiny.comics import BlockEncoder

class Killing(BlockEncoder):
    def __call__(self, images):
        if self.seen > int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(images)

write(Path(sys.argv[1]), Path(sys.argv[2]), encoder=Killing())
"""


def test_a_killed_process_loses_the_chapter_in_its_hands(source, straight, tmp_path):
    tests = Path(__file__).parent
    paths = os.pathsep.join([str(tests), str(tests.parent), str(tests.parents[1])])
    command = [sys.executable, "-c", KILL, str(source), str(tmp_path / "out"), str(3 * PATCHES)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == -signal.SIGKILL
    told = [line for path in (tmp_path / "out.partial" / "records").iterdir() for line in path.read_text().splitlines()]
    chapters = [json.loads(line)["chapter"] for line in told if "chapter" in json.loads(line)]
    assert len(chapters) == 3
    encoder = BlockEncoder()
    write(source, tmp_path / "out", encoder=encoder)
    seen = (CHAPTERS - 3) * PATCHES
    assert encoder.seen == (seen if "ch3" in chapters else seen - 9)
    assert files(tmp_path / "out") == files(straight[0])


def test_another_number_of_processes_goes_on(source, straight, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shard_build, "encode_sample", stop_after(9, shard_build.encode_sample))
        ends = in_ranks(3, lambda ranks: write(source, tmp_path / "out", ranks))
        assert any(isinstance(end, StopError) for end in ends)
    in_ranks(2, lambda ranks: write(source, tmp_path / "out", ranks))
    assert files(tmp_path / "out") == files(straight[0])


def test_a_shard_shorter_than_its_record_is_written_again(source, straight, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(shard_build, "save_index", stop_after(1, shard_build.save_index))
        with pytest.raises(StopError):
            write(source, tmp_path / "out")
    with open(tmp_path / "out.partial" / "val-000000.tar", "r+b") as file:
        file.truncate(5000)
    write(source, tmp_path / "out")
    assert "val-000000.tar is shorter than its record says" in caplog.text
    assert files(tmp_path / "out") == files(straight[0])


def test_what_would_not_teach_is_left_out_by_rule_counted_and_listed(tmp_path):
    root = write_chapters(tmp_path / "in", 2, 5, size=(64, 96))
    for chapter in ("ch0", "ch1"):
        Image.open(root / chapter / "2.png").resize((48, 72)).save(root / chapter / "7.jpg", quality=85)
        sepia = Image.merge("RGB", [draw_page(50).convert("L").point(lambda v, k=k: v * k // 10) for k in (10, 9, 7)])
        sepia.save(root / chapter / "8.png")
    build = tiny_build(root, ["ch1"], page_filter=True)
    splits = build_shards(build, tmp_path / "out", progress=False)
    report = json.loads((tmp_path / "out" / "skipped.json").read_text())
    assert report["pages"] == 14
    assert report["counts"] == {"near duplicate": 2, "no colour": 1}
    told = {(skip["path"], skip["kind"]): skip["reason"] for skip in report["skipped"]}
    assert set(told) == {("ch0/7.jpg", "near duplicate"), ("ch1/7.jpg", "near duplicate"), ("ch0/8.png", "no colour")}
    assert told["ch0/7.jpg", "near duplicate"].startswith("like 2.png: ")
    for split, names in (("train", "12345"), ("val", "123458")):  # validation is of pages as they come
        samples = ShardDataset(splits, split)
        found = [samples[number] for number in range(len(samples))]
        assert [sample.page_id[-1] for sample in found] == list(names)
        assert {patch.reference[-1] for sample in found for patch, _ in sample.patches} <= set(names)


def test_too_much_damage_ends_all_processes_and_no_output_appears(source, tmp_path):
    def work(ranks):
        return write(source, tmp_path / "out", ranks, max_skip_fraction=0.03)

    ends = in_ranks(2, work)
    assert any(isinstance(end, DataError) and "1 of 28 pages" in str(end) for end in ends)
    assert all(isinstance(end, DataError | RankError) for end in ends)
    assert not (tmp_path / "out").exists()
    write(source, tmp_path / "out", max_skip_fraction=0.04)  # goes on
    assert read_index(tmp_path / "out").splits.keys() == {"train", "val"}


def test_an_unfinished_build_of_anything_else_is_refused(source, tmp_path, monkeypatch):
    root, output = shutil.copytree(source, tmp_path / "in"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(shard_build, "encode_sample", stop_after(6, shard_build.encode_sample))
        with pytest.raises(StopError):
            write(root, output)
    with pytest.raises(DataError, match=r"begun with quality=95, samples_per_shard=8; go on with the same"):
        build_shards(tiny_build(root, ["ch4", "ch5", "ch6"], quality=60), output)
    draw_page(77).save(root / "ch1" / "2.png")
    with pytest.raises(DataError, match=r"other pages in 1 chapters, among them \['ch1'\]"):
        write(root, output)
    with locked(tmp_path / "out.partial"), pytest.raises(OutputLockError, match="another launch writes there"):
        write(root, output)
    shutil.rmtree(tmp_path / "out.partial")
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "train-000007.tar").write_bytes(b"of something else")
    with pytest.raises(DataError, match=r"found \['train-000007.tar'\]; remove the folder"):
        write(root, output)
    output.mkdir()
    with pytest.raises(DataError, match="out exists; shards are never added"):
        write(root, output)


def test_nothing_to_compare_nothing_usable_and_nothing_there(tmp_path):
    root = write_chapters(tmp_path / "in", 2, 3)
    build_shards(tiny_build(root, retriever=RandomRetriever()), tmp_path / "random", progress=False)
    counts = json.loads((tmp_path / "random" / "report.json").read_text())["patch_similarity"]["counts"]
    assert not any(sum(part) for part in counts.values())
    write_chapters(tmp_path / "lone", 2, 1)
    with pytest.raises(DataError, match=r"no usable page is left in the train chapters.*'alone': 2"):
        build_shards(tiny_build(tmp_path / "lone"), tmp_path / "out", progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found no pictures"):
        build_shards(tiny_build(tmp_path / "empty"), tmp_path / "none", progress=False)


def test_a_plan_keeps_chapters_whole_and_depends_on_names_and_counts_alone():
    listing = {f"c{number}": Listing(3 + number % 9, "") for number in range(60)} | {"long": Listing(50, "")}
    planned = plan_shards(listing, 0.2, 0, 20)
    assert planned == plan_shards(dict(reversed(listing.items())), 0.2, 0, 20)
    assert sorted(name for shard in planned for name in shard.chapters) == sorted(listing)
    sizes = {shard.chapters: sum(listing[name].files for name in shard.chapters) for shard in planned}
    assert all(size <= 20 or chapters == ("long",) for chapters, size in sizes.items())
    assert sum(size > 10 for size in sizes.values()) >= len(sizes) - 2
    assert next(shard.name for shard in planned if shard.split == "val") == "val-000000"
    longer = plan_shards({name: item for name, item in listing.items() if name != "c3"}, 0.2, 0, 20)
    assert longer != planned
