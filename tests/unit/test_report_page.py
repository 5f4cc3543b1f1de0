"""The report page as a file: what it holds, escapes and links. What it does is tested in a browser (tests/e2e)."""

import json
import math
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from tiny.benchmark import evaluate_tiny, find_row, page_scores, scored_pages, tint_rows, tiny_benchmark, tiny_results

from colorflow.evaluation.report.html import fill_page, html_page, page_data
from colorflow.evaluation.report.paper import SHAPE
from colorflow.evaluation.report.strips import shown_pages
from colorflow.evaluation.results import Bootstrap, build_results


class _Page(HTMLParser):
    """Collects links, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_self_contained_and_its_pictures_are_there(benchmark, tmp_path):
    results = evaluate_tiny(benchmark, tmp_path / "out", tint_rows())
    source = (tmp_path / "out" / "index.html").read_text()
    page = _Page()
    page.feed(source)
    assert page.open == []
    pictures = {link for link in page.links if not link.startswith(("#", "data:"))}
    assert len(pictures) == 5 * 5
    for link in pictures:
        assert Image.open(tmp_path / "out" / link).width > 0
    assert all(f'id="{link[1:]}"' in source for link in page.links if link.startswith("#"))
    # A name of a namespace is no address: it is compared, never fetched.
    assert not re.search(r"https?://|@import|url\(", source.replace("http://www.w3.org/2000/svg", ""))
    assert "prefers-color-scheme: dark" in source
    assert f"{find_row(results, 'colorflow')['metrics']['psnr']:.2f}" in page.text
    assert str(tmp_path) not in source
    sources = json.loads((tmp_path / "out" / "sources.json").read_text())
    assert (tmp_path / "out" / sources["benchmark"] / "benchmark.json").is_file()
    assert list(sources["predictions"]) == [f"{name}/gray" for name in ("gray_copy", *tint_rows())]
    assert (tmp_path / "out" / sources["predictions"]["colorflow/gray"] / "a" / "000.png").is_file()


def test_names_are_escaped_on_the_page(tmp_path):
    benchmark = tiny_benchmark(tmp_path, {"a&b #1": 2, "b": 2})
    evaluate_tiny(benchmark, tmp_path / "out", {})
    source = (tmp_path / "out" / "index.html").read_text()
    assert "a&amp;b #1/000" in source
    assert "a&b" not in source.partition('<script type="application/json"')[0]
    page = _Page()
    page.feed(source)
    assert [link for link in page.links if "pictures/gray/a%26b%20%231/" in link]  # else "#" would end the path
    for link in page.links:
        assert not link.startswith("pictures") or (tmp_path / "out" / unquote(link)).is_file()


def test_a_name_cannot_end_the_script_that_holds_the_data():
    pages = [page | {"chapter": "</script><b>"} for page in scored_pages()]
    data = page_data(tiny_results(pages=pages), [])
    source = fill_page("frame.html", {"title": "a page"}, styles=(), scripts=(), data=data)
    assert source.count("</script>") == 2
    embedded = source.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(embedded) == data
    assert data["chapters"] == ["</script><b>"]


def test_the_data_of_the_page_is_small_and_exact():
    pages = scored_pages()
    pages[0]["psnr"] = math.inf
    data = page_data(tiny_results(pages=pages), [])
    names = [method["name"] for method in data["methods"]]
    assert names == ["gray_copy", "colorflow"]
    assert [method["baseline"] for method in data["methods"]] == [True, False]
    for i, page in enumerate(tiny_results(pages=pages)["pages"]):
        assert names[data["pages"]["method"][i]] == page["method"]
        assert data["chapters"][data["pages"]["chapter"][i]] == page["chapter"]
        value = data["pages"]["scores"]["psnr"][i]
        assert value == "inf" if math.isinf(page["psnr"]) else value == pytest.approx(page["psnr"], abs=6e-5)
    many = tiny_results(pages=[page_scores("m", f"chapter_{i // 50}", i % 50, 20 + i / 1e4) for i in range(1500)])
    assert len(json.dumps(page_data(many, []), separators=(",", ":"))) < 1500 * 60


def test_shown_pages_cover_every_chapter_and_hold_the_extremes(tmp_path):
    benchmark = tiny_benchmark(tmp_path, {f"c{i:02d}": 4 for i in range(12)})
    drawn = np.random.default_rng(0).permutation(48)
    values = {page: float(value) for page, value in zip(benchmark.pages, drawn, strict=True)}
    rows = [page_scores("m", page.chapter, int(page.name), value) for page, value in values.items()]
    shown = shown_pages(tiny_results(pages=rows), benchmark, "gray")
    tagged = {tag: [page for page, tags in shown if tag in tags] for tag in ("even", "best:psnr:m", "worst:psnr:m")}
    assert [page.chapter for page in tagged["even"]] == [f"c{i:02d}" for i in range(12)]
    ranked = sorted(values, key=lambda page: values[page])
    assert set(tagged["worst:psnr:m"]) == set(ranked[:4])
    assert set(tagged["best:psnr:m"]) == set(ranked[-4:])
    assert [page.index for page, _ in shown] == sorted(page.index for page, _ in shown)
    few = shown_pages(tiny_results(pages=rows[:3]), benchmark, "gray")
    assert sum(tag == "best:psnr:m" for _, tags in few for tag in tags) == 1


def test_pages_are_worst_and_best_by_each_metric_on_its_own(tmp_path):
    benchmark = tiny_benchmark(tmp_path, {"a": 20, "b": 2})
    metrics = ("psnr", "ssim", "chroma_psnr", "ciede2000")
    random = np.random.default_rng(0)
    rows = [page_scores("m", page.chapter, int(page.name), 0.0) for page in benchmark.pages]
    rows = [row | {name: float(random.random()) for name in metrics} for row in rows]
    shown = shown_pages(tiny_results(pages=rows), benchmark, "gray")
    for name in metrics:
        rising = sorted(rows, key=lambda row: row[name], reverse=name == "ciede2000")  # less is better there
        for tag, expected in (("worst", rising[:4]), ("best", rising[-4:])):
            found = {(page.chapter, page.name) for page, tags in shown if f"{tag}:{name}:m" in tags}
            assert found == {(row["chapter"], row["page"]) for row in expected}


def test_metrics_of_whole_chapters_reach_the_page():
    values = {"a": 0.51234567, "c": 0.75}
    protocol = {"benchmark": {"name": "tiny"}, "metric_size": "native", "intervals": {"confidence": 0.95}}
    chapters = {("colorflow", "gray"): {"color_identity": values}}
    results = build_results(scored_pages(), protocol, Bootstrap(samples=50), chapters=chapters)
    assert find_row(results, "colorflow")["chapters"] == {"color_identity": values}
    assert find_row(results, "gray_copy")["chapters"] == {}
    data = page_data(results, [])
    assert data["chapter_scores"] == {"color_identity": {"gray/colorflow": [0.51235, None, 0.75]}}
    assert "color_identity" in data["metrics"]
    for row in results["rows"]:
        del row["chapters"]  # as written by earlier versions
    assert page_data(results, [])["chapter_scores"] == {}


def test_the_papers_rows_stand_below_ours_of_the_same_input_marked(tmp_path):
    pages = [page | {"style": style} for style in ("screenstyle", "gray") for page in scored_pages()]
    results = tiny_results(SHAPE, pages=pages)
    results["protocol"] |= {
        "resize": "",
        "definitions": {},
        "ssim_window": "",
        "version": 1,
        "sha256": "",
        "versions": {},
    }
    results["protocol"]["benchmark"]["sha256"] = ""
    results["protocol"]["intervals"] |= {"method": "", "samples": 0, "seed": 0}
    source = html_page(results, [], [])
    found = re.findall(r'<tr( class=paper)? data-method="([^"]*)" data-style="(\w*)">', source)
    assert [(bool(paper), style) for paper, _, style in found] == (
        [(False, "screenstyle")] * 2 + [(True, "screenstyle")] * 5 + [(False, "gray")] * 2 + [(True, "gray")] * 4
    )
    assert source.count('<span class="mark">as printed</span>') == 9
