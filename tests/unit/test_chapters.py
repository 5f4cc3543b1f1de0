"""Chapter folders: order, what is left out, and a split that never leaks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny.comics import draw_page, write_chapters

from colorflow.data.chapters import DataError, Skip, SkipReport, read_chapters, split_chapters


def test_chapters_and_pages_come_in_natural_order(tmp_path):
    for chapter in ("ep10", "ep2"):
        (tmp_path / chapter).mkdir()
        for page in ("p10.png", "p9.jpg", "P1.webp"):
            draw_page(1).save(tmp_path / chapter / page)
    chapters, report = read_chapters(tmp_path)
    assert [chapter.name for chapter in chapters] == ["ep2", "ep10"]
    assert [page.id for page in chapters[0].pages] == ["ep2/P1", "ep2/p9", "ep2/p10"]
    assert report == SkipReport(6)


def test_what_is_no_page_is_ignored_and_what_is_left_out_is_listed(tmp_path):
    write_chapters(tmp_path, chapters=1, pages=2)
    (tmp_path / "ch0" / "notes.txt").write_text("x")
    (tmp_path / "ch0" / "._1.png").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "empty").mkdir()
    draw_page(5).save(tmp_path / "ch0" / "2.jpg")
    chapters, report = read_chapters(tmp_path)
    assert [page.path.name for page in chapters[0].pages] == ["1.png", "2.jpg"]
    assert report.counts() == {"duplicate name": 1, "empty chapter": 1}
    assert report.pages == 3


def test_folders_that_are_no_source_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.*set data\.root"):
        read_chapters(tmp_path / "nowhere")
    with pytest.raises(DataError, match="found no pictures"):
        read_chapters(tmp_path)
    draw_page(0).save(tmp_path / "1.png")
    with pytest.raises(DataError, match="own folder"):
        read_chapters(tmp_path)


def test_only_damaged_pages_count_against_the_allowed_fraction(tmp_path):
    alone = tuple(Skip(f"{i}", "alone", "") for i in range(50))
    damaged = tuple(Skip(f"p{i}.png", "unreadable", "cut short") for i in range(6))
    SkipReport(100, alone + damaged[:5]).check(0.05)
    with pytest.raises(DataError, match=r"6 of 100 pages.*max_skip_fraction=0\.05.*\n.*p0\.png: cut short"):
        SkipReport(100, alone + damaged).check(0.05)


NAMES = st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=40, unique=True)


@given(NAMES, st.floats(0, 0.9), st.integers(0, 5))
def test_a_split_never_leaks_and_depends_on_names_alone(names, fraction, seed):
    train, val = split_chapters(names, fraction, seed)
    assert not set(train) & set(val)
    assert sorted((*train, *val)) == sorted(names)
    assert bool(val) == bool(fraction)
    again = split_chapters(names[::-1], fraction, seed)
    assert (set(again[0]), set(again[1])) == (set(train), set(val))


def test_counts_names_and_seeds():
    names = [f"c{i}" for i in range(30)]
    assert split_chapters(names, ["c7", "c3"])[1] == ("c3", "c7")
    assert len(split_chapters(names, 4)[1]) == 4
    assert split_chapters(names, 0) == (tuple(names), ())
    assert split_chapters(names, 4, seed=1) != split_chapters(names, 4, seed=2)
    assert set(split_chapters(names, 4)[1]) < set(split_chapters(names, 5)[1])


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (["ghost"], "no such chapters.*ghost"),
        (1.5, "fraction in"),
        (-1, "at least 0"),
        (2, "leave at least one"),
        (True, "got True"),
        ("a", "list of names"),
    ],
)
def test_impossible_splits_are_refused(held_out, message):
    with pytest.raises(DataError, match=message):
        split_chapters(["a", "b"], held_out)
