"""Parts in their own colors: a page as it is, one painted as somebody else, one without labels, and from files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tiny.runs import call_main

import evaluate
from colorflow.evaluation.bench.benchmark import read_benchmark
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.bench.sources import toon_benchmark
from colorflow.metrics.catalog.part_accuracy import SPEC, judged_parts
from colorflow.metrics.pages import PagePair
from colorflow.toon import ToonSpec, draw_page, write_chapters

TOON = ToonSpec(size=(96, 144), min_cast=3, max_cast=3, max_panels=1)


@pytest.fixture(scope="module")
def page():
    return draw_page(3, 0, TOON)


def test_the_truth_is_right_and_a_guess_is_one_in_the_cast(page):
    rows = judged_parts(PagePair.of(page.color, page.color, page.parts))
    assert len(rows) >= 4
    assert rows[:, 0].min() == 1
    assert rows[:, 1].numpy() == pytest.approx(1 / 3)
    assert SPEC.reduce(rows).item() == 1


def test_another_characters_colors_are_wrong(page):
    turned = page.colors[1:] + page.colors[:1]
    painted = np.full((*page.labels.shape, 3), 128, np.uint8)
    for label in np.unique(page.labels[page.labels > 0]):
        character, part = divmod(int(label) - 1, 5)
        painted[page.labels == label] = turned[character][part]
    rows = judged_parts(PagePair.of(Image.fromarray(painted), page.color, page.parts))
    assert rows[:, 0].max() == 0


def test_specks_and_pages_without_labels_are_not_judged(page):
    speck = page.parts
    speck.paste(0, (0, 0, *speck.size))
    speck.putpixel((0, 0), 1)
    for parts in (speck, None):
        rows = judged_parts(PagePair.of(page.color, page.color, parts))
        assert rows.shape == (0, 2)
    assert SPEC.reduce(rows).isnan()


def test_a_benchmark_of_generated_pages_tells_whose_part_is_where(tmp_path):
    benchmark = read_benchmark(toon_benchmark(tmp_path, 1, 2, TOON, 5))
    for page in benchmark.pages:
        target, parts = benchmark.target(page), benchmark.parts(page)
        half = target.resize((48, 72))
        rows = [judged_parts(PagePair.of(shown, shown, parts)) for shown in (target, half)]
        assert rows[0][:, 0].min() == 1
        assert rows[0][:, 1].numpy() == pytest.approx(1 / 3)
        assert rows[1][:, 0].mean() > 0.9


def test_where_no_page_has_parts_it_is_said(tmp_path, capsys):
    write_chapters(tmp_path / "pages", 1, 2, 5, TOON, progress=False)
    build_benchmark(tmp_path / "pages", tmp_path / "plain", pages=2, references=2, progress=False)
    names = "metrics.names=[psnr,part_accuracy]"
    asked = [
        "method=gray_copy",
        "benchmark=folder",
        f"benchmark.root={tmp_path / 'plain'}",
        "metrics.metric_size=native",
    ]
    assert call_main(evaluate, *asked, names, f"output={tmp_path / 'out'}") is None
    assert "gray_copy: no chapter has a value of part_accuracy" in "".join(capsys.readouterr())
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert "part_accuracy" not in row["metrics"]
