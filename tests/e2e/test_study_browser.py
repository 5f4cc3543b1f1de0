"""The study in a real browser: ranks by keys, buttons and drag, votes that are counted, orders of each voter's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, opened
from tiny.benchmark import Tint, tiny_benchmark

from colorflow.evaluation.run import evaluate
from colorflow.evaluation.user_study import StudyOptions, build_study, read_votes, tally_votes
from colorflow.evaluation.user_study.votes import read_key
from colorflow.methods import MethodSpec

METHODS = {"colorflow": 5, "mcv2": 60, "ebmc": 30}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two questions, hence six screens."""
    folder = tmp_path_factory.mktemp("study")
    root = tiny_benchmark(folder, {"a": 2, "b": 2}).root
    methods = {name: MethodSpec(build=lambda amount=amount: Tint(amount)) for name, amount in METHODS.items()}
    evaluate(methods, root, folder / "out", metric_size="native", progress=False)
    build_study(folder / "out", folder / "study", StudyOptions(pages=2), progress=False)
    return folder / "study"


@pytest.fixture
def page(browser: Any, study: Path) -> Iterator[Any]:
    with opened(browser, study / "site" / "index.html") as watched:
        yield watched.page


def places(page: Any) -> list[str]:
    return page.locator("#places b").all_text_contents()


def codes(page: Any) -> dict[str, str]:
    """Code of each letter on the screen."""
    pairs = page.locator("[data-letter]").evaluate_all("all => all.map((x) => [x.dataset.letter, x.dataset.key])")
    return dict(pairs)


def save(page: Any, button: str, path: Path) -> dict[str, Any]:
    with page.expect_download() as download:
        page.click(button)
    download.value.save_as(path)
    return json.loads(path.read_text())


def test_a_voter_ranks_by_keys_and_the_saved_file_is_counted(page: Any, study: Path, tmp_path: Path) -> None:
    key = read_key(study / "key.json")
    best_first = ["mcv2", "colorflow", "ebmc"]
    page.get_by_role("button", name="Begin").click()
    for _ in range(6):
        question = page.locator("#strips img").first.get_attribute("src").split("/")[1]
        method_of = key["questions"][question]["codes"]
        letter_of = {method_of[code]: letter for letter, code in codes(page).items()}
        assert page.locator("#next").is_disabled()
        for method in best_first:
            page.keyboard.press(letter_of[method].lower())
        assert places(page) == [letter_of[method] for method in best_first]
        page.keyboard.press("Enter")
    assert page.get_by_role("heading", name="Thank you").is_visible()
    votes = save(page, "#save-end", tmp_path / "votes.json")
    assert len(votes["rankings"]) == 6
    assert not {"colorflow", "mcv2", "ebmc"} & set(json.dumps(votes).split('"'))
    tallies = tally_votes(read_votes([tmp_path / "votes.json"], key), key["methods"])
    assert [tally.key for tally in tallies] == ["aesthetic", "similarity", "consistency"]
    for tally in tallies:
        assert {name: score.points for name, score in tally.scores.items()} == {"mcv2": 3, "colorflow": 2, "ebmc": 1}
        assert tally.rankings == 2


def test_ranks_by_buttons_digits_and_drag_agree(page: Any) -> None:
    page.click("#begin")
    page.get_by_role("button", name="A on place 2").click()
    assert places(page) == ["", "A", ""]
    page.locator("[data-letter=B] a").focus()
    page.keyboard.press("2")  # B takes the place, A has none
    assert places(page) == ["", "B", ""]
    page.locator("[data-letter=C]").drag_to(page.locator("#places li").first)
    assert places(page) == ["C", "B", ""]
    page.locator("[data-letter=B]").drag_to(page.locator("#places li").first)
    assert places(page) == ["B", "C", ""]  # they change places
    page.keyboard.press("Backspace")
    assert places(page) == ["", "C", ""]
    page.keyboard.type("ab")
    assert places(page) == ["A", "C", "B"]
    pressed = page.locator(".ranks button[aria-pressed=true]").evaluate_all("all => all.map((x) => x.ariaLabel)")
    assert sorted(pressed) == ["A on place 1", "B on place 3", "C on place 2"]
    page.click("#clear")
    assert places(page) == ["", "", ""]
    assert page.locator("#next").is_disabled()


def test_each_criterion_shows_what_it_asks_about(page: Any) -> None:
    page.click("#begin")
    beside = []
    for _ in range(3):
        link = page.locator("[data-letter=A] img").get_attribute("src")
        others = page.locator("figure:not([data-letter])").evaluate_all("all => all.map((x) => x.dataset.key)")
        beside.append((link.rpartition("-")[2], others))
        page.keyboard.type("abc")
        page.click("#next")
    assert beside == [("page.webp", []), ("page.webp", ["truth"]), ("sequence.webp", ["references"])]
    assert all(page.locator("#strips img").evaluate_all("all => all.map((x) => x.complete && x.naturalWidth > 0)"))


def test_orders_are_the_voters_own_and_the_same_again(browser: Any, study: Path) -> None:
    def orders(voter: str) -> dict[str, tuple[str, ...]]:
        """Candidates as shown, by the picture's question and the place of the screen among that question's."""
        seen: dict[str, tuple[str, ...]] = {}
        with opened(browser, study / "site" / "index.html") as watched:
            watched.page.goto((study / "site" / "index.html").as_uri() + f"?voter={voter}")
            watched.page.click("#begin")
            for screen in range(6):
                link = watched.page.locator("#strips img").first.get_attribute("src")
                seen[f"{link.split('/')[1]} {screen % 3}"] = tuple(codes(watched.page).values())
                watched.page.keyboard.type("abc")
                watched.page.click("#next")
        return seen

    first = orders("one")
    again = orders("one")
    assert (again, list(again)) == (first, list(first))
    others = [orders(name) for name in ("two", "three", "four")]
    assert any(list(other) != list(first) for other in others)  # of questions
    for screen in first:  # of candidates
        assert len({one[screen] for one in (first, *others)}) > 1


def test_going_back_stopping_and_going_on(page: Any, study: Path, tmp_path: Path) -> None:
    page.click("#begin")
    page.keyboard.type("cab")
    page.click("#next")
    early = save(page, "#save", tmp_path / "early.json")
    assert len(early["rankings"]) == 1
    page.click("#back")
    assert places(page) == ["C", "A", "B"]
    page.reload()
    assert page.get_by_role("button", name="Begin anew").is_visible()
    page.get_by_role("button", name="Go on where I stopped").click()
    assert page.inner_text("#progress") == "Question 2 of 6"
    page.keyboard.type("abc")
    page.click("#next")
    later = save(page, "#save", tmp_path / "later.json")
    assert later["voter"] == early["voter"]
    assert len(read_votes([tmp_path / "early.json", tmp_path / "later.json"], read_key(study / "key.json"))) == 2


def test_pictures_open_in_full_without_ranking_and_it_fits_a_phone(browser: Any, study: Path) -> None:
    with opened(browser, study / "site" / "index.html", width=390) as watched:
        page = watched.page
        page.click("#begin")
        page.locator("[data-letter=A] a").click()
        assert page.locator("#zoom").is_visible()
        first = page.locator("#zoom-image").get_attribute("src")
        page.keyboard.press("ArrowRight")
        assert page.locator("#zoom-image").get_attribute("src") != first
        page.keyboard.press("a")
        page.keyboard.press("Escape")
        assert places(page) == ["", "", ""]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
