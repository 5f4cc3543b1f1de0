"""The report in a real browser: sorting, filters, plots, zoom, theme, keyboard; no errors, nothing fetched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, opened
from tiny.benchmark import Tint, TwoTone, write_chapters

from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.report import paper
from colorflow.evaluation.report.comparisons import paired_differences
from colorflow.evaluation.run import evaluate
from colorflow.methods import MethodSpec
from colorflow.metrics import find_metric
from colorflow.toon import ToonSpec
from colorflow.toon import write_chapters as write_toon

CHAPTERS = {"a": 3, "b": 2, "c": 4}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A report of two styles and four rows on a benchmark in what passes for the paper's shape, and its results."""
    folder = tmp_path_factory.mktemp("report")
    write_chapters(folder / "source", CHAPTERS)
    benchmark = build_benchmark(folder / "source", folder / "benchmark", styles=(TwoTone(),), progress=False)
    methods = {
        "colorflow": MethodSpec(build=lambda: Tint(5)),
        "theirs": MethodSpec(build=lambda: Tint(60)),
        "odd": MethodSpec(build=lambda: Tint(30)),
    }
    options = {"styles": ("gray", "screenstyle"), "metric_size": "native", "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "SHAPE", benchmark.shape)
        results = evaluate(methods, benchmark.root, folder / "out", **options)
    return folder / "out" / "index.html", results


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def page(browser: Any, report: tuple[Path, dict[str, Any]]) -> Iterator[Any]:
    with opened(browser, report[0]) as watched:
        yield watched.page


def column(page: Any, metric: str) -> list[str]:
    """First line of each visible cell of the score table."""
    cells = page.locator(f"#score-table tbody tr:visible td[data-metric={metric}]").all()
    return [cell.evaluate("cell => cell.firstChild.textContent") for cell in cells]


def test_a_click_on_a_heading_sorts_and_the_papers_rows_sort_along(page):
    for metric, best_first in (("psnr", True), ("ciede2000", False), ("fid", False)):
        head = page.locator(f"#score-table th[data-metric={metric}]")
        for descending in (best_first, not best_first):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == ("descending" if descending else "ascending")
            shown = column(page, metric)
            numbers = [float(text) for text in shown if text != "–"]
            assert len(set(numbers)) > 3
            assert numbers == sorted(numbers, reverse=descending)
            assert shown[len(numbers) :] == ["–"] * (len(shown) - len(numbers))  # nothing comes last, either way
    assert page.locator("#score-table th[aria-sort]").count() == 1
    page.locator("#score-table th").first.locator("button").click()
    names = page.locator("#score-table tbody th").all_inner_texts()
    assert names == sorted(names, key=str.lower)


def test_filters_act_on_every_part(page, report):
    assert page.locator("#score-table tbody tr:visible").count() == 2 * 4 + 9
    page.select_option("#style", "screenstyle")
    assert page.locator("#score-table tbody tr:visible").count() == 4 + 5
    assert page.locator("#difference-panels > *").count() == page.locator("#chapter-panels > *").count() == 1
    assert set(page.locator("#page-table td.input").all_inner_texts()) == {"screenstyle"}
    assert page.locator("article[data-style=gray]:visible").count() == 0
    page.select_option("#chapter", "b")
    page.select_option("#strip-mode", "all")
    shown = page.locator("article:visible").evaluate_all("all => all.map((one) => one.dataset.chapter)")
    assert set(shown) == {"b"}
    assert page.locator("#page-table tbody tr").count() == 2
    assert page.locator("#score-table tr.paper:visible").count() == 0  # not comparable with one chapter
    asked = ("screenstyle", "b", "odd")
    rows = [row for row in report[1]["pages"] if (row["style"], row["chapter"], row["method"]) == asked]
    expected = find_metric("psnr").format(sum(row["psnr"] for row in rows) / len(rows))
    assert page.locator("#score-table tr[data-method=odd]:visible td[data-metric=psnr]").inner_text() == expected
    page.select_option("#chapter", "")
    page.select_option("#style", "")
    assert page.locator("#score-table tbody tr:visible").count() == 2 * 4 + 9


def test_differences_are_those_of_the_results(page, report):
    page.select_option("#metric", "ciede2000")
    page.select_option("#rival", "theirs")
    found = [one for one in paired_differences(report[1]) if (one.metric, one.rival) == ("ciede2000", "theirs")]
    expected = {(one.style, one.method): one for one in found}
    assert len(expected) == 2 * 3
    for style, panel in zip(("gray", "screenstyle"), page.locator("#difference-panels > *").all(), strict=True):
        for line in panel.locator("tbody tr").all():
            one = expected[style, line.get_attribute("data-method")]
            text = line.locator("td").first.inner_text().replace("−", "-")
            assert text.split()[0] == f"{one.value:+.2f}"
            assert one.interval is not None
            assert f"[{one.interval[0]:+.2f}, {one.interval[1]:+.2f}]" in text
            assert line.locator("td").nth(1).inner_text() == f"{one.better} of {one.n}"
            mark, zero = line.locator("path").bounding_box(), line.locator(".zero").bounding_box()
            # Less is better: a negative difference stands on the right.
            assert (mark["x"] + mark["width"] / 2 > zero["x"]) == (one.value < 0)


def test_the_plot_opens_a_chapter_and_switches_methods(page):
    groups = page.locator("#chapter-panels [data-style=gray] g")
    assert groups.count() == len(CHAPTERS)
    assert page.locator("[data-style=gray] g").first.locator("path").count() == 4
    page.get_by_role("button", name="Theirs", exact=True).click()
    assert page.locator("[data-style=gray] g").first.locator("path").count() == 3
    groups.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-style=gray] .readout b").inner_text() == "b"
    page.keyboard.press("Enter")
    assert page.input_value("#chapter") == "b"
    assert page.locator("#chapters-title").inner_text() == "By page, b"
    assert page.locator("#chapter-panels [data-style=gray] g").count() == CHAPTERS["b"]


def test_worst_and_best_pages_by_the_metric_that_the_reader_chooses(page, report):
    rows = [row for row in report[1]["pages"] if (row["method"], row["style"]) == ("odd", "gray")]
    page.select_option("#style", "gray")
    assert not page.locator("#strip-metric").is_visible()
    page.select_option("#strip-mode", "worst")
    page.select_option("#strip-method", "odd")
    assert page.locator("#strip-metric option").evaluate_all("all => all.map((one) => one.value)") == [
        "psnr", "ssim", "chroma_psnr", "ciede2000",
    ]  # fmt: skip
    orders = set()
    for metric in ("ssim", "chroma_psnr", "ciede2000", "psnr"):
        page.select_option("#strip-metric", metric)
        for mode in ("worst", "best"):
            page.select_option("#strip-mode", mode)
            names = "all => all.map((x) => [x.dataset.chapter, x.dataset.page])"
            shown = page.locator("article:visible").evaluate_all(names)
            less_first = (mode == "worst") == (metric != "ciede2000")
            expected = sorted(rows, key=lambda row: row[metric], reverse=not less_first)[:4]
            assert [tuple(one) for one in shown] == [(row["chapter"], row["page"]) for row in expected]
            note = page.locator("article:visible figure[data-key=odd] figcaption span").first.text_content()
            assert note == f"{find_metric(metric).label} {find_metric(metric).format(expected[0][metric])}"
        orders.add(tuple(map(tuple, shown)))
    assert len(orders) > 1
    page.select_option("#metric", "ciede2000")  # the bar's metric ranks the pages too
    assert page.input_value("#strip-metric") == "ciede2000"


def test_a_metric_of_whole_chapters_is_plotted(browser, tmp_path):
    write_toon(tmp_path / "source", 3, 3, 0, ToonSpec(size=(64, 96)), progress=False)
    root = build_benchmark(tmp_path / "source", tmp_path / "benchmark", name="toon", progress=False).root
    methods = {"odd": MethodSpec(build=lambda: Tint(30)), "theirs": MethodSpec(build=lambda: Tint(60))}
    results = evaluate(methods, root, tmp_path / "out", metric_size="native", progress=False)
    expected = {row["method"]: row["chapters"]["color_identity"] for row in results["rows"]}
    with opened(browser, tmp_path / "out" / "index.html") as watched:
        page = watched.page
        page.select_option("#metric", "color_identity")
        groups = page.locator("#chapter-panels g")
        assert groups.count() == 3
        for group in groups.all():
            values = [of[group.get_attribute("data-name")] for of in expected.values()]
            said = group.get_attribute("aria-label").split(": ", 1)[1].split(", ")
            assert [float(text.split()[-1]) for text in said] == pytest.approx(values, abs=6e-4)
            assert len(set(values)) == group.locator("path").count() == 3
            assert group.locator("circle.page").count() == 0
        assert "whole chapter" in page.locator("#chapter-note").inner_text()
        assert "of whole chapters" in page.locator("#difference-panels").inner_text()
        note = page.locator("article:visible figure[data-key=odd] figcaption span").first.text_content()
        assert note.startswith("colour identity of the chapter 0.")
        page.select_option("#chapter", "toon_0_001")
        cell = page.locator("#score-table tr[data-method=odd] td[data-metric=color_identity]").inner_text()
        assert cell == find_metric("color_identity").format(expected["odd"]["toon_0_001"])
        assert groups.count() == 1


def test_zoom_by_keys_keeps_its_place_and_gives_the_focus_back(page):
    link = page.locator("article:visible figure[data-key=colorflow] a").first
    link.focus()
    page.keyboard.press("Enter")
    zoom, image = page.locator("#zoom"), page.locator("#zoom-image")
    assert zoom.is_visible()
    assert image.get_attribute("src") == link.get_attribute("href")
    page.keyboard.press("+")
    page.keyboard.press("+")
    scale = zoom.get_attribute("data-scale")
    assert scale == "2.25"
    page.keyboard.press("ArrowRight")
    assert "theirs" in (image.get_attribute("src") or "")
    assert zoom.get_attribute("data-scale") == scale
    page.keyboard.down("o")
    assert "truth" in (image.get_attribute("src") or "")
    page.keyboard.up("o")
    assert "theirs" in (image.get_attribute("src") or "")
    before = image.get_attribute("src")
    page.keyboard.press("ArrowDown")
    assert image.get_attribute("src") != before
    page.keyboard.press("1")
    assert "input" in (image.get_attribute("src") or "")
    page.keyboard.press("0")
    assert zoom.get_attribute("data-scale") == "1.00"
    page.keyboard.press("Escape")
    assert not zoom.is_visible()
    assert link.evaluate("link => link === document.activeElement")


def test_zoom_by_wheel_holds_the_point_under_the_pointer(page):
    page.locator("article:visible figure[data-key=truth] a").first.click()
    stage = page.locator("#stage").bounding_box()
    x, y = stage["x"] + stage["width"] * 0.6, stage["y"] + stage["height"] * 0.3
    at = "([x, y]) => { const b = document.querySelector('#zoom-image').getBoundingClientRect();" \
         " return [(x - b.left) / b.width, (y - b.top) / b.height]; }"  # fmt: skip
    before = page.evaluate(at, [x, y])
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    page.wait_for_function("document.querySelector('#zoom').dataset.scale > 1.5")
    assert page.evaluate(at, [x, y]) == pytest.approx(before, abs=1e-3)
    page.mouse.down()
    page.mouse.move(x + 40, y + 10)
    page.mouse.up()
    assert page.evaluate(at, [x + 40, y + 10]) == pytest.approx(before, abs=1e-3)


def test_theme_follows_the_system_until_it_is_switched(browser, report):
    luminance = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, x) => sum + Number(x), 0)"
    for scheme in ("light", "dark"):
        with opened(browser, report[0], color_scheme=scheme) as watched:
            dark = watched.page.evaluate(luminance) < 200
            assert dark == (scheme == "dark")
            watched.page.locator("#theme").click()
            assert (watched.page.evaluate(luminance) < 200) != dark
            watched.page.reload()
            assert (watched.page.evaluate(luminance) < 200) != dark  # kept


def test_every_page_is_listed_sorted_and_opens_its_picture(page):
    page.select_option("#page-method", "")
    assert page.locator("#page-table tbody tr").count() == 72 == 2 * 4 * sum(CHAPTERS.values())
    page.locator("#page-table th[data-metric=ssim] button").click()
    place = page.locator("#page-table th").evaluate_all("heads => heads.findIndex((x) => x.dataset.metric === 'ssim')")
    texts = page.locator(f"#page-table tbody tr > :nth-child({place + 1})").all_inner_texts()
    assert [float(text) for text in texts] == sorted(map(float, texts), reverse=True)
    # A picture opens from the table also where the filters hide its strip; then there is no page to go on to.
    page.evaluate("document.querySelectorAll('article').forEach((article) => { article.hidden = true; })")
    page.locator("#page-table tbody button").first.click()
    assert page.locator("#zoom").is_visible()
    page.keyboard.press("ArrowDown")
    assert page.locator("#zoom").is_visible()


def test_it_reads_on_a_phone_and_without_scripts(browser, report):
    with opened(browser, report[0], width=390) as watched:
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert watched.page.locator("#metric").is_visible()
    with opened(browser, report[0], java_script_enabled=False) as watched:
        assert watched.page.locator("#score-table tbody tr").count() == 2 * 4 + 9
        assert watched.page.locator("#bar").is_hidden()
        assert watched.page.locator("article figure img").first.is_visible()
        assert watched.page.locator("dl").is_visible()
    with opened(browser, report[0]) as watched:
        hidden = watched.page.locator("article[hidden] figure[data-key=truth] img").first
        url = hidden.evaluate("image => image.src")
        assert url not in watched.requests
        watched.page.select_option("#strip-mode", "all")
        with watched.page.expect_request(url):
            watched.page.locator(f"img[src='{url.partition('/out/')[2]}']").scroll_into_view_if_needed()
