"""Recorded retrieval: pools, leave-one-out, bad pictures, and a cache that is never stale."""

import io
import json
import math

import numpy as np
import pytest
from PIL import Image
from tiny.comics import SIZE, BlockEncoder, draw_page, write_chapters

from colorflow.data.chapters import DataError, read_chapters
from colorflow.data.dataset import ChapterDataset
from colorflow.data.recording import Recorder, record_chapters
from colorflow.retrieval.retriever import NoReferences, RandomRetriever, SimilarityRetriever


def recorder(cache, encoder=None, **options):
    return Recorder(SimilarityRetriever(encoder or BlockEncoder()), SIZE, cache, **options)


def record(root, cache, encoder=None, **options):
    chapters, _ = read_chapters(root)
    return [recorder(cache, encoder, **options).record(chapter) for chapter in chapters]


def test_every_page_gets_twelve_patches_of_other_pages_of_its_chapter(tmp_path):
    for chapter in record(write_chapters(tmp_path / "in"), tmp_path / "cache"):
        assert len(chapter.pages) == 4
        for page in chapter.pages:
            assert page.page.id not in page.pool
            assert len(page.pool) == 3
            assert len({(patch.quadrant, patch.rank) for patch in page.patches}) == 12
            assert {patch.reference for patch in page.patches} <= set(page.pool)


def test_the_gray_query_finds_its_own_copy(tmp_path):
    root = write_chapters(tmp_path / "in", chapters=1, pages=5)
    draw_page(0).save(root / "ch0" / "copy.png")
    page = record(root, tmp_path / "cache")[0].pages[0]
    best = [patch for patch in page.patches if patch.rank == 0]
    assert {(patch.reference, patch.patch - 1) for patch in best} == {("ch0/copy", patch.quadrant) for patch in best}
    assert all(patch.similarity > 0.999 for patch in best)


def test_pools_are_random_seeded_and_leave_the_page_out(tmp_path):
    root = write_chapters(tmp_path / "in", chapters=1, pages=12)
    (first,), (other,) = record(root, tmp_path / "a", pool_size=5), record(root, tmp_path / "b", pool_size=5, seed=1)
    assert all(len(set(page.pool)) == 5 and page.page.id not in page.pool for page in first.pages)
    assert len({page.pool for page in first.pages}) > 6
    assert [page.pool for page in first.pages] != [page.pool for page in other.pages]
    assert record(root, tmp_path / "c", pool_size=5)[0].pages == first.pages


def test_each_page_is_embedded_once_a_chapter(tmp_path):
    encoder = BlockEncoder()
    record(write_chapters(tmp_path / "in", chapters=1, pages=6), tmp_path / "cache", encoder, pool_size=2)
    assert encoder.seen == 6 * 5 + 6 * 4  # references once, then each page as query


def test_the_cache_gives_the_same_record_without_any_work(tmp_path):
    root, encoder = write_chapters(tmp_path / "in"), BlockEncoder()
    fresh = record(root, tmp_path / "cache", encoder)
    seen = encoder.seen
    assert record(root, tmp_path / "cache", encoder) == fresh
    assert encoder.seen == seen > 0


@pytest.mark.parametrize("change", ["content", "added", "encoder", "pool_size", "seed", "page_size"])
def test_the_cache_is_refused_when_anything_it_depends_on_changes(tmp_path, change):
    root = write_chapters(tmp_path / "in", chapters=1)
    before = record(root, tmp_path / "cache")[0]
    encoder, options = BlockEncoder("other" if change == "encoder" else "blocks"), {}
    if change == "content":
        draw_page(77).save(root / "ch0" / "2.png")
    elif change == "added":
        draw_page(77).save(root / "ch0" / "9.png")
    elif change in ("pool_size", "seed"):
        options = {change: 2}
    chapters, _ = read_chapters(root)
    size = (64, 96) if change == "page_size" else SIZE
    after = Recorder(SimilarityRetriever(encoder), size, tmp_path / "cache", **options).record(chapters[0])
    assert encoder.seen > 0
    assert after.key != before.key


def test_a_record_that_is_torn_or_of_another_key_is_made_again(tmp_path, caplog):
    root, encoder = write_chapters(tmp_path / "in", chapters=1), BlockEncoder()
    fresh = record(root, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("ch0-*.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"key": "0" * 64}))
    record(root, tmp_path / "cache", encoder)
    assert encoder.seen > 0
    path.write_text(path.read_text()[:100])
    assert record(root, tmp_path / "cache") == fresh
    assert "is damaged" in caplog.text


def test_random_and_no_retrieval_are_recorded_too(tmp_path):
    (chapter,), _ = read_chapters(write_chapters(tmp_path / "in", chapters=1))
    for _ in range(2):  # computed, then from the cache
        random = Recorder(RandomRetriever(), SIZE, tmp_path / "cache").record(chapter)
        assert all(len(page.patches) == 12 for page in random.pages)
        assert all(math.isnan(patch.similarity) for page in random.pages for patch in page.patches)
        assert all(patch.reference != page.page.id for page in random.pages for patch in page.patches)
        none = Recorder(NoReferences(), SIZE, tmp_path / "cache").record(chapter)
        assert [page.patches for page in none.pages] == [()] * 4


def test_a_lone_page_is_left_out_unless_allowed(tmp_path):
    root = write_chapters(tmp_path / "in", chapters=2)
    write_chapters(tmp_path / "one", chapters=1, pages=1)
    (tmp_path / "one" / "ch0").rename(root / "lone")
    chapters, found = read_chapters(root)
    recorded, report = record_chapters(chapters, recorder(tmp_path / "cache"), found)
    assert [chapter.name for chapter in recorded] == ["ch0", "ch1"]
    assert report.counts() == {"alone": 1}
    assert json.loads((tmp_path / "cache" / "skipped.json").read_text())["counts"] == {"alone": 1}
    allowed, report = record_chapters(chapters, recorder(tmp_path / "cache", allow_no_references=True), found)
    assert (allowed[2].name, allowed[2].pages[0].patches, report.counts()) == ("lone", (), {})
    assert ChapterDataset(allowed, SIZE)[8].patches == ()


def zoo(folder):
    page = draw_page(7, (48, 72))
    page.convert("CMYK").save(folder / "cmyk.jpg")
    page.quantize(32).save(folder / "palette.png")
    page.convert("1").save(folder / "bits.png")
    page.convert("LA").save(folder / "alpha.png")
    page.save(folder / "lossy.webp")
    Image.fromarray(np.asarray(page.convert("L"), dtype=np.uint16) * 257).save(folder / "sixteen.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    page.transpose(Image.Transpose.ROTATE_90).save(folder / "rotated.jpg", exif=exif, quality=95)
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    (folder / "truncated.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    (folder / "text.jpg").write_bytes(b"not a picture at all")
    (folder / "empty.png").write_bytes(b"")
    page.resize((4, 6)).save(folder / "tiny.png")


GOOD = ["alpha", "bits", "cmyk", "lossy", "palette", "rotated", "sixteen"]


def test_a_zoo_of_pictures_is_read_or_listed(tmp_path, caplog):
    root = write_chapters(tmp_path / "in", chapters=1)
    (root / "zoo").mkdir()
    zoo(root / "zoo")
    chapters, found = read_chapters(root)
    with pytest.raises(DataError, match="4 of 15 pages"):
        record_chapters(chapters, recorder(tmp_path / "cache"), found)
    assert len(json.loads((tmp_path / "cache" / "skipped.json").read_text())["skipped"]) == 4
    recorded, report = record_chapters(chapters, recorder(tmp_path / "cache"), found, max_skip_fraction=0.3)
    assert [page.page.name for page in recorded[1].pages] == GOOD
    assert report.counts() == {"unreadable": 4}
    bad = {"truncated.png", "text.jpg", "empty.png", "tiny.png"}
    assert {skip.path.rsplit("/")[-1] for skip in report.skips} == bad
    assert "{'unreadable': 4}" in caplog.text
    dataset = ChapterDataset(recorded, SIZE)
    assert all(dataset[index].page.mode == "RGB" for index in range(len(dataset)))
    assert {patch.reference.split("/")[1] for patch, _ in dataset[4].patches} <= set(GOOD)
    rotated = np.asarray(dataset[4 + GOOD.index("rotated")].page, dtype=float)
    upright = np.asarray(dataset[4 + GOOD.index("lossy")].page, dtype=float)
    assert np.abs(rotated - upright).mean() < 8


def test_nothing_usable_is_an_error(tmp_path):
    chapters, found = read_chapters(write_chapters(tmp_path / "in", pages=1))
    with pytest.raises(DataError, match=r"none of 3 pages.*alone"):
        record_chapters(chapters, recorder(tmp_path / "cache"), found)
