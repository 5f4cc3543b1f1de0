"""Paired differences: against written-out numbers and another library's paired interval."""

import csv
import io
import math

import numpy as np
import pytest
from tiny.benchmark import page_scores, tiny_results

from colorflow.evaluation.report.comparisons import Difference, csv_differences, page_metrics, paired_differences


def _find(differences: list[Difference], method: str, rival: str, metric: str, style: str = "gray") -> Difference:
    wanted = (style, metric, method, rival)
    return next(one for one in differences if (one.style, one.metric, one.method, one.rival) == wanted)


def _two_methods(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> list[Difference]:
    pages = [
        page_scores(method, chapter, page, value)
        for method, chapters in (("ours", ours), ("theirs", theirs))
        for chapter, values in chapters.items()
        for page, value in enumerate(values)
    ]
    return paired_differences(tiny_results(pages=pages))


def test_a_difference_is_the_mean_of_the_differences_of_pages():
    differences = _two_methods({"a": [20.0, 22.0], "b": [30.0]}, {"a": [21.0, 19.0], "b": [29.0]})
    found = _find(differences, "ours", "theirs", "psnr")
    assert found.value == pytest.approx(1.0, abs=1e-12)  # (-1 + 3 + 1) / 3
    assert (found.better, found.n, found.infinite) == (2, 3, 0)
    back = _find(differences, "theirs", "ours", "psnr")
    assert (back.value, back.better) == (-found.value, 1)
    assert back.interval == pytest.approx(tuple(-end for end in reversed(found.interval or ())), abs=1e-12)
    error = _find(differences, "ours", "theirs", "ciede2000")  # 40 - psnr: less is better
    assert error.value == pytest.approx(-1.0, abs=1e-12)
    assert error.better == 2


def test_the_interval_is_that_of_a_plain_paired_bootstrap_over_chapters():
    random = np.random.default_rng(3)
    theirs = {str(chapter): list(random.uniform(10, 40, 4)) for chapter in range(12)}
    ours = {name: [value + random.normal(0.3, 0.5) for value in values] for name, values in theirs.items()}
    found = _find(_two_methods(ours, theirs), "ours", "theirs", "psnr")
    by_chapter = np.array([np.subtract(ours[name], theirs[name]) for name in theirs])
    draws = [by_chapter[random.integers(0, 12, 12)].mean() for _ in range(4000)]
    assert found.interval == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.05)
    # What pairing is for: the pages' own spread is a hundred times the interval's width.
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] < 0.5


def test_pages_that_cannot_be_compared_are_counted_or_left_out():
    differences = _two_methods({"a": [20.0, math.inf], "b": [25.0, 11.0]}, {"a": [19.0, 30.0], "b": [23.0]})
    found = _find(differences, "ours", "theirs", "psnr")
    assert found.value == pytest.approx(1.5)
    assert (found.n, found.infinite) == (2, 1)
    single = _find(_two_methods({"a": [20.0, 21.0]}, {"a": [19.0, 18.0]}), "ours", "theirs", "psnr")
    assert single.interval is None
    assert _two_methods({"a": [20.0]}, {"b": [20.0]}) == []


def test_styles_are_compared_within_themselves_by_metrics_of_pages():
    pages = [page_scores(method, "a", 0, 20.0, style) for method in "mn" for style in ("gray", "screenstyle")]
    pages.append(page_scores("alone", "a", 0, 20.0, "screenstyle"))
    found = {(one.style, one.method, one.rival) for one in paired_differences(tiny_results(pages=pages))}
    assert found == {("gray", *pair) for pair in ("mn", "nm")} | {
        ("screenstyle", *pair)
        for pair in (("m", "n"), ("n", "m"), ("m", "alone"), ("n", "alone"), ("alone", "m"), ("alone", "n"))
    }
    results = tiny_results()
    results["pages"] = [page | {"lpips": None} for page in results["pages"]]
    results["rows"][0]["metrics"]["fid"] = 12.0
    assert page_metrics(results) == ["psnr", "ssim", "chroma_psnr", "ciede2000"]


def test_csv_of_differences_reads_back():
    differences = paired_differences(tiny_results())
    rows = list(csv.DictReader(io.StringIO(csv_differences(differences))))
    assert len(rows) == len(differences) == 2 * 4
    assert [float(row["value"]) for row in rows] == [one.value for one in differences]
    assert differences[0].interval == (float(rows[0]["low"]), float(rows[0]["high"]))
