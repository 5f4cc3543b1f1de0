"""Metrics of somebody else's package, by configuration alone: evaluate.py, tables, CSV, LaTeX, page, results.json."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.benchmark import evaluate_tiny, tint_rows, tinted_folder, tiny_benchmark
from tiny.runs import call_main

import evaluate
from colorflow import metrics
from colorflow.evaluation.report.tables import markdown_table
from colorflow.evaluation.results import read_results

WARMTH = '''
"""How much warmer than the truth a page is."""
from colorflow.metrics import MetricSpec

def warmth(pair):
    return abs(float((pair.pred - pair.target)[..., 0].mean()))

SPEC = MetricSpec(
    key="warmth", label="warmth_x", decimals=3, higher_is_better=False, sees="pair", function=warmth,
    definition="mean difference of red; mean over pages",
)
'''
OTHERS = """
import torch
from colorflow.metrics import MetricSpec
from tiny.metrics import random_network

def mean_color(pair):
    return torch.from_numpy(pair.pred.mean((0, 1)))[None]

def spread(rows):
    return rows.var(0).sum()

def distance(preds, target):
    return (preds - target).norm(dim=1)

def network(settings):
    return random_network(16, batch_size=settings.batch_size, name="theirs")

SPREAD = MetricSpec(
    key="spread", label="spread", decimals=4, higher_is_better=True, sees="set", page=mean_color, function=spread,
    definition="variance of the pages' mean colours", place=0, note="Spread is of all pages.",
)
STEADY = MetricSpec(
    key="steady", label="steady", decimals=4, higher_is_better=False, sees="chapter", page=mean_color, function=spread,
    definition="the same within a chapter; mean over chapters",
)
FEATURES = MetricSpec(
    key="features", label="features", decimals=2, higher_is_better=False, sees="pair", function=distance,
    network=network, definition="distance of features; mean over pages",
)
"""
NAMES = "[psnr,theirs.warmth,theirs.others:SPREAD,theirs.others:STEADY,theirs.others:FEATURES]"
ROWS = {"colorflow": tint_rows()["colorflow"]}


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "packages" / "theirs"
    package.mkdir(parents=True)
    for name, source in (("__init__", ""), ("warmth", WARMTH), ("others", OTHERS)):
        (package / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(package.parent)
    _forget()
    yield
    _forget()


def _forget() -> None:
    """Let the package be imported from where it is now."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "theirs"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def test_a_package_outside_measures_by_its_names_in_the_config(theirs, tmp_path):
    benchmark = tiny_benchmark(tmp_path)
    folder, output = tinted_folder(benchmark, tmp_path / "p"), tmp_path / "out"
    asked = ("method=predictions", f"predictions={{tint:{folder.root}}}", "benchmark=folder")
    asked = (*asked, f"benchmark.root={benchmark.root}", "metrics=pixels", "metrics.metric_size=native")
    assert call_main(evaluate, *asked, f"output={output}", f"metrics.names={NAMES}") is None
    results = read_results(output / "results.json")
    assert results["protocol"]["metrics"] == ["psnr", "warmth", "spread", "steady", "features"]
    assert set(results["protocol"]["definitions"]) == set(results["protocol"]["metrics"])
    assert results["protocol"]["networks"]["features"]["id"] == "thumbnail-16"
    row = next(row for row in results["rows"] if row["method"] == "tint")
    pages = [page for page in results["pages"] if page["method"] == "tint"]
    paths = [
        (folder.pages[page.chapter, page.name], benchmark.root / benchmark.target_key(page)) for page in benchmark.pages
    ]
    pairs = [[np.asarray(Image.open(path), dtype=np.float64) / 255 for path in pair] for pair in paths]
    warmth = [abs((pred - target)[..., 0].mean()) for pred, target in pairs]
    assert [page["warmth"] for page in pages] == pytest.approx(warmth, abs=1e-12)
    assert row["intervals"]["warmth"] is not None
    colors = np.array([pred.mean((0, 1)) for pred, _ in pairs])
    assert row["metrics"]["spread"] == pytest.approx(colors.var(0, ddof=1).sum(), abs=1e-12)
    assert row["chapters"]["steady"] == pytest.approx(
        {"a": colors[:3].var(0, ddof=1).sum(), "b": colors[3:].var(0, ddof=1).sum()}, abs=1e-12
    )
    table = (output / "table.md").read_text()
    assert "| pages | spread ↑ | PSNR ↑ | warmth_x ↓ | features ↓ | steady ↓ |" in table
    assert f"{row['metrics']['warmth']:.3f} [" in table
    assert table.count("Spread is of all pages.") == 1
    assert "warmth\\_x $\\downarrow$" in (output / "table.tex").read_text()
    assert "warmth,warmth_low,warmth_high" in (output / "table.csv").read_text()
    assert ",warmth,tint,gray_copy," in (output / "differences.csv").read_text()
    page = (output / "index.html").read_text()
    assert 'data-metric="warmth">warmth_x&nbsp;↓</th>' in page
    assert "worst:warmth:tint" in page
    assert "<dt>warmth_x</dt><dd>mean difference of red; mean over pages</dd>" in page


def test_their_results_are_read_without_their_package(theirs, tmp_path):
    benchmark = tiny_benchmark(tmp_path)
    settings = metrics.MetricSettings(("psnr", "theirs.warmth"))
    results = evaluate_tiny(benchmark, tmp_path / "out", ROWS, metrics=settings)
    before = markdown_table(results)
    for name in [name for name in sys.modules if name.partition(".")[0] == "theirs"]:
        del sys.modules[name]
    sys.path.remove(str(tmp_path / "packages"))
    assert markdown_table(read_results(tmp_path / "out" / "results.json")) == before
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    del told["protocol"]["columns"]  # of a metric that is no longer known, a table says nothing
    assert "warmth" not in markdown_table(told)
    assert "PSNR" in markdown_table(told)


def test_a_later_metric_is_all_that_is_measured_of_pages_that_are_there(theirs, tmp_path, monkeypatch):
    benchmark = tiny_benchmark(tmp_path)
    names = ("psnr", "ciede2000")
    first = evaluate_tiny(benchmark, tmp_path / "out", ROWS, metrics=metrics.MetricSettings(names))
    monkeypatch.setattr("colorflow.metrics.pages.lab", lambda page: pytest.fail("Lab is not needed again"))
    later = evaluate_tiny(benchmark, tmp_path / "out", ROWS, metrics=metrics.MetricSettings((*names, "theirs.warmth")))
    assert all(page["warmth"] >= 0 for page in later["pages"])
    same = [{name: page[name] for name in page if name != "warmth"} for page in later["pages"]]
    assert same == first["pages"]


@pytest.mark.parametrize(
    "wrong",
    [{"sees": "set"}, {"sees": "pair", "page": lambda pair: torch.zeros(1, 1)}, {"sees": "pair", "key": "not a key"}],
)
def test_a_spec_that_cannot_be_is_refused(wrong):
    right = {"key": "x", "label": "x", "decimals": 1, "higher_is_better": True, "definition": "", "function": len}
    with pytest.raises(ValueError, match="expected an identifier as key, and page= for a set or chapter"):
        metrics.MetricSpec(**(right | wrong))
