"""Shards: the round trip, random access, and everything that may be wrong with a tar."""

import io
import json
import runpy
import shutil
import tarfile
from pathlib import Path

import hydra
import numpy as np
import pytest
import webdataset
from tiny.comics import SIZE, BlockEncoder, tiny_build, write_chapters

from colorflow.data.chapters import DataError
from colorflow.data.shards.build import build_shards
from colorflow.data.shards.index import INDEX, read_index, read_members, scan_shards, verify_shards
from colorflow.data.shards.sample import ShardDataset, ShardFormat
from colorflow.data.sources import ChapterSource, ShardSource
from colorflow.data.transforms import CanvasTransform
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.styles.gray import GrayStyle


def build(folder, **form):
    root = write_chapters(folder / "in")
    splits = ChapterSource(root, SIZE, SimilarityRetriever(BlockEncoder()), folder / "cache", ["ch1"]).splits()
    return splits, build_shards(tiny_build(root, ["ch1"], **form), folder / "out")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    splits, _ = build(folder)
    return folder / "out", splits


@pytest.fixture
def shards(built, tmp_path):
    return shutil.copytree(built[0], tmp_path / "out")


def test_shards_hold_what_the_chapters_hold_up_to_jpeg(built):
    root, chapters = built
    splits = ShardSource(root, SIZE).splits()
    transform = CanvasTransform(SIZE, (64, 96), GrayStyle(), (2.0, 2.0))
    for stored, source in ((splits.train, chapters.train), (splits.val, chapters.val)):
        assert stored is not None
        assert source is not None
        pages = {source[index].page_id: source[index] for index in range(len(source))}
        assert sorted(stored[index].page_id for index in range(len(stored))) == sorted(pages)
        for index in range(len(source)):
            one, other = stored[index], pages[stored[index].page_id]
            assert [patch for patch, _ in one.patches] == [patch for patch, _ in other.patches]
            first, second = transform(one, 0, index), transform(other, 0, index)
            assert (first.target - second.target).abs().mean() < 0.015
            assert (first.condition - second.condition).abs().mean() < 0.015
            assert (first.mask == second.mask).all()


def test_the_files_are_plain_webdataset(built):
    root, _ = built
    tars = sorted(path.name for path in root.glob("*.tar"))
    assert tars == ["train-000000.tar", "train-000001.tar", "val-000000.tar"]
    stream = webdataset.WebDataset(str(root / "train-000000.tar"), shardshuffle=False)
    samples = list(stream)
    assert len(samples) == 4
    names = {name for name in samples[0] if not name.startswith("__")}
    references = {f"ref.{quadrant}.{rank}.jpg" for quadrant in ("TL", "TR", "BL", "BR") for rank in range(3)}
    with tarfile.open(root / "train-000000.tar") as tar:
        members = {member.name.partition(".")[2] for member in tar}
    assert members == {"page.jpg", "meta.json"} | references
    assert names == {name.lower() for name in members}  # webdataset lowers them as it reads
    meta = json.loads(samples[0]["meta.json"])
    assert (meta["chapter"], meta["page"], meta["retriever"]) == ("ch2", "1", "similarity-blocks")
    assert len(meta["references"]) == 12
    assert len(meta["digest"]) == 64


def test_same_pages_make_the_same_bytes(built, tmp_path):
    build(tmp_path)
    for path in built[0].glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_the_jpeg_options_count(built, tmp_path):
    _, index = build(tmp_path, quality=60, subsampling="4:2:0", samples_per_shard=8)
    sizes = [len(read_members(item.split("train")[0], 0)["page.jpg"]) for item in (index, read_index(built[0]))]
    assert len(index.split("train")) == 1
    assert sizes[0] < sizes[1]
    with pytest.raises(ValueError, match="4:1:9"):
        ShardFormat(SIZE, "x", subsampling="4:1:9")


def test_a_folder_without_index_is_scanned_once(shards):
    built = read_index(shards)
    (shards / INDEX).unlink()
    assert read_index(shards) == built
    assert read_index(shards) == built
    assert (shards / INDEX).exists()


def test_page_size_split_and_leaks_are_checked(shards, tmp_path):
    with pytest.raises(DataError, match=r"page size \(64, 96\), got \(32, 48\)"):
        ShardSource(shards, (64, 96)).splits()
    with pytest.raises(DataError, match=r"found splits \['train', 'val'\]"):
        ShardSource(shards, SIZE, val_split="test").splits()
    assert ShardSource(shards, SIZE, val_split=None).splits().val is None
    (shards / INDEX).unlink()
    for path in shards.glob("val-*.tar"):
        path.unlink()
    shutil.copy(shards / "train-000001.tar", shards / "val-000000.tar")
    with pytest.raises(DataError, match="appears twice"):
        ShardSource(shards, SIZE).splits()
    more = write_chapters(tmp_path / "more", 1, 6)
    for number in range(1, 5):
        (more / "ch0" / f"{number}.png").unlink()
    build_shards(tiny_build(more), tmp_path / "leak")
    shutil.copy(tmp_path / "leak" / "train-000000.tar", shards / "val-000000.tar")
    with pytest.raises(DataError, match=r"chapters \['ch0'\] are in train and val"):
        ShardSource(shards, SIZE).splits()


def test_a_shard_without_metadata_is_refused_also_under_its_old_index(shards):
    index = read_index(shards)
    path = shards / "train-000001.tar"
    with tarfile.open(path) as tar:
        members = [(item, tar.extractfile(item).read()) for item in tar]
    with tarfile.open(path, "w") as tar:
        for item, data in members[1:]:
            tar.addfile(item, io.BytesIO(data))
    with pytest.raises(DataError, match=r"train-000001\.tar: sample .* expected page\.jpg and meta\.json"):
        scan_shards(shards)
    with pytest.raises(DataError, match=r"train-000001\.tar: changed after it was indexed"):
        ShardDataset(index, "train")[4]


SPOILS = {
    "truncated": lambda data, samples: data[:6000],
    "cut between samples": lambda data, samples: data[: samples[2]],
    "empty": lambda data, samples: b"",
    "text": lambda data, samples: b"not a tar " * 500,
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_a_damaged_shard_is_named_with_an_index_and_without(shards, spoil):
    path, samples = shards / "train-000001.tar", read_index(shards).split("train")[1].offsets
    path.write_bytes(spoil(path.read_bytes(), samples))
    with pytest.raises(DataError, match=r"train-000001\.tar.*restore"):
        read_index(shards)
    with pytest.raises(DataError, match=r"train-000001\.tar"):
        scan_shards(shards)


def test_a_missing_shard_and_a_foreign_index_are_refused(shards):
    (shards / "val-000000.tar").rename(shards / "moved.bak")
    with pytest.raises(DataError, match=r"val-000000\.tar.*got no file"):
        read_index(shards)
    (shards / INDEX).write_text('{"format": "other"}')
    with pytest.raises(DataError, match="expected an index of format"):
        read_index(shards)
    with pytest.raises(DataError, match="expected a folder of shards"):
        read_index(shards / "nowhere")
    (shards / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        read_index(shards / "empty")


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset : offset + 64] = bytes(64)
    path.write_bytes(data)


def test_bytes_that_changed_under_the_index_are_found(shards):
    index = read_index(shards)
    verify_shards(index)
    shard = index.split("train")[1]
    with tarfile.open(shard.path) as tar:
        page = next(item for item in tar if item.name.endswith("page.jpg"))
    flip(shard.path, page.offset_data)
    with pytest.raises(DataError, match=r"train-000001\.tar: the file has changed"):
        verify_shards(index)
    with pytest.raises(DataError, match=r"train-000001\.tar, sample 0"):
        ShardDataset(index, "train")[4]
    assert ShardDataset(index, "train")[5].page.size == SIZE


def test_random_access_reads_each_sample_where_it_lies(built):
    dataset = ShardDataset(read_index(built[0]), "train")
    order = np.random.default_rng(0).permutation(len(dataset))
    ids = {int(index): dataset[int(index)].page_id for index in order}
    assert [ids[index] for index in range(len(dataset))] == [f"ch{c}/{p}" for c in (2, 0) for p in range(1, 5)]
    with pytest.raises(IndexError):
        dataset[8]


def run_script(*overrides):
    """Run data/build_shards.py as its main does, short of Hydra's own start."""
    root = Path(__file__).resolve().parents[2]
    script = runpy.run_path(str(root / "data" / "build_shards.py"))
    with hydra.initialize_config_dir(str(root / "configs"), version_base="1.3"):
        script["run"](hydra.compose("build_shards", list(overrides)))


def test_the_script_builds_what_its_config_says(tmp_path):
    root = write_chapters(tmp_path / "in", pages=3)
    options = (f"source={root}", f"output={tmp_path / 'out'}", "page_size=[32,48]", "val_chapters=[ch2]")
    run_script(*options, "retrieval=random", "samples_per_shard=4")
    splits = ShardSource(tmp_path / "out", SIZE, verify=True).splits()
    assert splits.val is not None
    assert (splits.train.chapters, splits.val.chapters) == (("ch0", "ch1"), ("ch2",))
    assert len(splits.train.shards) == 2
    assert read_index(tmp_path / "out").retriever == "random"
    assert json.loads((tmp_path / "out" / "skipped.json").read_text())["pages"] == 9
    with pytest.raises(DataError, match="out exists"):
        run_script(*options)
    with pytest.raises(DataError, match="missing output, source"):
        run_script()
    with pytest.raises(DataError, match="source=/nowhere/at/all: expected a folder"):
        run_script("source=/nowhere/at/all", "output=x")
