"""Which pages and references of a chapter are taken: properties of the seeded rule, for any chapters."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorflow.evaluation.bench.benchmark import BenchmarkError
from colorflow.evaluation.bench.build import Selection, select_pages
from colorflow.schema import Chapter, Page

SEEDS = st.integers(0, 2**31)
CHAPTERS = st.lists(st.integers(1, 30), min_size=1, max_size=5).filter(lambda counts: max(counts) > 1)
COUNTS = {"pages": st.integers(1, 12), "references": st.integers(1, 12)}


def chapter(number: int, pages: int) -> Chapter:
    name = f"c{number}"
    return Chapter(name, tuple(Page(name, f"p{page}", Path(name) / f"p{page}.png") for page in range(pages)))


def names(items: tuple[Page, ...]) -> list[str]:
    return [page.name for page in items]


@given(CHAPTERS, SEEDS, COUNTS["pages"], COUNTS["references"])
def test_counts_order_and_that_nothing_is_both_page_and_reference(sizes, seed, pages, references):
    chapters = [chapter(number, size) for number, size in enumerate(sizes)]
    selected = select_pages(chapters, pages=pages, references=references, seed=seed)
    assert [item.chapter for item in selected] == [item.name for item in chapters if len(item.pages) > 1]
    for item in selected:
        there = names(chapters[int(item.chapter[1:])].pages)
        enough = len(there) >= pages + references
        assert len(item.pages) == min(pages, len(there))
        assert len(item.references) == (references if enough else 0)
        assert not set(names(item.pages)) & set(names(item.references))
        for chosen in (names(item.pages), names(item.references)):
            assert chosen == [name for name in there if name in chosen]


@given(CHAPTERS, SEEDS, COUNTS["pages"], COUNTS["references"])
def test_a_chapters_choice_depends_on_no_other_chapter_and_not_on_the_order_of_its_pages(
    sizes, seed, pages, references
):
    chapters = [chapter(number, size) for number, size in enumerate(sizes)]
    options = {"pages": pages, "references": references, "seed": seed}
    together = {item.chapter: item for item in select_pages(chapters, **options)}
    for one in chapters:
        if len(one.pages) > 1:
            assert select_pages([one], **options) == (together[one.name],)
            (turned,) = select_pages([Chapter(one.name, one.pages[::-1])], **options)
            assert set(turned.pages) == set(together[one.name].pages)
            assert set(turned.references) == set(together[one.name].references)


@given(SEEDS, st.integers(20, 40), COUNTS["pages"], st.integers(1, 8))
def test_a_page_more_replaces_one_at_most(seed, size, pages, references):
    """So that a chapter found to lack a page gives nearly the same benchmark."""
    options = {"pages": pages, "references": references, "seed": seed}
    (less,), (more,) = select_pages([chapter(0, size)], **options), select_pages([chapter(0, size + 1)], **options)
    assert len(set(less.pages) - set(more.pages)) <= 1
    assert len({*less.pages, *less.references} - {*more.pages, *more.references}) <= 1


def test_seeds_choose_differently_and_evenly():
    one, counts = chapter(0, 20), dict.fromkeys(names(chapter(0, 20).pages), 0)
    choices: set[Selection] = set()
    for seed in range(1000):
        (item,) = select_pages([one], pages=5, references=5, seed=seed)
        choices.add(item)
        for name in names(item.pages):
            counts[name] += 1
    assert len(choices) > 990
    assert all(abs(count - 250) < 5 * (1000 * 0.25 * 0.75) ** 0.5 for count in counts.values()), counts


def test_the_papers_counts_are_the_default_and_lone_pages_are_no_chapter():
    (item,) = select_pages([chapter(0, 90)])
    assert (len(item.pages), len(item.references)) == (50, 40)
    (item,) = select_pages([chapter(0, 89), chapter(1, 1)])
    assert (len(item.pages), len(item.references)) == (50, 0)
    with pytest.raises(BenchmarkError, match="at least 2 readable pages"):
        select_pages([chapter(0, 1)])
