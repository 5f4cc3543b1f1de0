"""Damage that comes to light while a model trains: counted, said, and no other rank's or worker's business."""

import logging
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import pytest
from tiny.comics import SIZE, tiny_build, write_chapters

from colorflow.data.chapters import DataError
from colorflow.data.datamodule import ComicDataModule
from colorflow.data.shards.build import build_shards
from colorflow.data.shards.index import read_index
from colorflow.data.sources import ShardSource
from colorflow.data.transforms import CanvasTransform
from colorflow.styles.gray import GrayStyle

PAGES = [f"{chapter}/{page}" for chapter, pages in (("ch2", 4), ("ch1", 4), ("ch0", 3)) for page in range(1, pages + 1)]
"""In the order of the shards."""
SAMPLES = len(PAGES)
SHORT = "ch0/4.png"


@pytest.fixture
def shards(tmp_path):
    root = write_chapters(tmp_path / "in")
    (root / SHORT).unlink()
    build_shards(tiny_build(root, samples_per_shard=4), tmp_path / "out")
    return tmp_path / "out"


def spoil(folder, *numbers):
    """Overwrite the picture data in the middle of samples."""
    for number in numbers:
        shard = read_index(folder).split("train")[number // 4]
        start, end = shard.offsets[number % 4 : number % 4 + 2]
        with shard.path.open("r+b") as file:
            file.seek(start)
            data = file.read(end - start)
            place = data.index(b"\xff\xd8\xff")  # a JPEG begins
            file.seek(start + place)
            file.write(bytes(64))


def batches(folder, count, rank=0, world=1, workers=0, batch=4, source=None, **options):
    source = source or ShardSource(folder, SIZE, val_split=None)
    data = ComicDataModule(source, CanvasTransform(SIZE, SIZE, GrayStyle()), batch, num_workers=workers, **options)
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world, global_step=0, accumulate_grad_batches=1)
    data.setup("fit")
    return [data.on_before_batch_transfer(item, 0) for item in islice(data.train_dataloader(), count)]


def pages(items):
    return [page for item in items for page in item.page_ids]


@pytest.mark.parametrize("world", [1, 2, 4, 11])
def test_an_epoch_over_uneven_shards_holds_every_sample_once_however_many_ranks(shards, world):
    ranks = [batches(shards, SAMPLES, rank, world, batch=world) for rank in range(world)]
    counts = Counter(page for items in ranks for page in pages(items))
    assert counts == dict.fromkeys(PAGES, world)


def test_another_sample_takes_the_place_of_a_damaged_one_and_it_is_said_once(shards, caplog):
    whole = batches(shards, 6)
    spoil(shards, 5)
    with caplog.at_level(logging.ERROR):
        found = batches(shards, 6, max_unreadable=0.1)
    before, after = pages(whole), pages(found)
    changed = [place for place, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1]
    assert changed
    assert {before[place] for place in changed} == {PAGES[5]}
    assert {after[place] for place in changed} == {PAGES[6]}
    assert [item.seeds for item in found] == [item.seeds for item in whole]
    (said,) = [record.message for record in caplog.records if "another sample takes its place" in record.message]
    assert "train-000001.tar, sample 1" in said
    assert "(1 so far)" in said


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (1, 2)])
def test_what_takes_its_place_depends_on_neither_ranks_nor_workers(shards, world, workers):
    spoil(shards, 5, 6)
    alone = pages(batches(shards, 6, max_unreadable=0.3))
    ranks = [batches(shards, 6, rank, world, workers, max_unreadable=0.3) for rank in range(world)]
    joined = [page for parts in zip(*ranks, strict=True) for part in parts for page in part.page_ids]
    assert joined == alone


@pytest.mark.parametrize(("spoilt", "allowed"), [((5,), 0.0), ((1, 5), 0.01)])
def test_more_damage_than_allowed_stops_the_run(shards, spoilt, allowed):
    spoil(shards, *spoilt)
    with pytest.raises(DataError, match=rf"{len(spoilt)} of 11 samples cannot be read.*max_unreadable={allowed}"):
        batches(shards, 6, max_unreadable=allowed)


def test_damage_without_end_stops_the_run(shards):
    spoil(shards, *range(SAMPLES))
    with pytest.raises(DataError, match="8 samples in a row cannot be read, the first: sample"):
        batches(shards, 1, max_unreadable=1.0)


def test_a_shard_that_is_cut_short_while_it_is_read_costs_its_last_samples(shards, caplog):
    whole = batches(shards, 6)
    source = ShardSource(shards, SIZE, val_split=None)
    source.splits()  # the index is read and found whole
    shard = read_index(shards).split("train")[2]
    with shard.path.open("r+b") as file:
        file.truncate(shard.offsets[2])
    found = batches(shards, 6, source=source, max_unreadable=0.2)
    assert PAGES[10] in pages(whole)
    assert PAGES[10] not in pages(found)
    assert "cut short after it was indexed" in caplog.text
