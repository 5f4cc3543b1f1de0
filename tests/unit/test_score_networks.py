"""Scoring with networks: random ones, marked; their numbers are those of the plain functions on all pictures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.benchmark import Tint, find_row, tiny_benchmark, write_chapters
from tiny.metrics import ALL, KEYS, PAGES
from tiny.networks import write_alexnet
from torch import Tensor

from colorflow import metrics
from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.bench.benchmark import Benchmark
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.generate.generate import generate
from colorflow.evaluation.report.tables import csv_table, markdown_table
from colorflow.evaluation.results import read_results
from colorflow.evaluation.run import evaluate
from colorflow.evaluation.score.measuring import FeatureStore
from colorflow.evaluation.score.protocol import Protocol, Suite, build_suite
from colorflow.evaluation.score.score import RowScores, score
from colorflow.methods import MethodSpec
from colorflow.metrics import MetricSettings, PageNetwork
from colorflow.toon import ToonSpec
from colorflow.toon import write_chapters as write_toon

NATIVE = Protocol("native")


@pytest.fixture
def suite() -> Suite:
    return build_suite(MetricSettings(ALL, batch_size=3))


def _score(folder: PredictionsFolder, benchmark: Benchmark, suite: Suite, cache: Path | None = None) -> RowScores:
    fresh = PredictionsFolder(folder.root, folder.style)
    return score(fresh, benchmark, NATIVE, method="tint", suite=suite, cache=cache, progress=False)


def _tensor(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).double()[None] / 255


class _Counting:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, die_after: int | None = None) -> None:
        self.pages = 0
        original = PageNetwork.forward

        def forward(network: PageNetwork, prepared: list[Tensor], places: list[int]) -> Tensor:
            if die_after is not None and self.pages >= die_after:
                raise KeyboardInterrupt
            self.pages += len(prepared)
            return original(network, prepared, places)

        monkeypatch.setattr(PageNetwork, "forward", forward)


def test_numbers_are_those_of_the_plain_functions(folder, benchmark, suite):
    found = _score(folder, benchmark, suite)
    preds = torch.cat([_tensor(folder.folder / page.chapter / f"{page.name}.png") for page in benchmark.pages])
    target = torch.cat([_tensor(benchmark.root / benchmark.target_key(page)) for page in benchmark.pages])
    for name in ("clip_is", "lpips", "aesthetic"):
        values = metrics.find_metric(name)(preds, target, suite.networks[name])
        assert [page[name] for page in found.pages] == pytest.approx(values.tolist(), abs=1e-6), name
    assert set(found.sets) == {"fid", "kid"}
    for name, value in found.sets.items():
        assert value == pytest.approx(float(metrics.find_metric(name)(preds, target, suite.networks[name])), rel=1e-9)


def test_colour_identity_is_that_of_the_chapters(tmp_path, suite):
    write_toon(tmp_path / "toon", 2, 4, 0, ToonSpec(size=(64, 96)), progress=False)
    benchmark = build_benchmark(tmp_path / "toon", tmp_path / "benchmark", name="toon", progress=False)
    report = generate(Tint(60), benchmark, tmp_path / "predictions", progress=False)
    found = _score(PredictionsFolder(report.folder, "gray"), benchmark, suite).chapters["color_identity"]
    assert list(found) == [chapter.name for chapter in benchmark.chapters]
    for chapter in benchmark.chapters:
        pages = [page for page in benchmark.pages if page.chapter == chapter.name]
        preds = torch.cat([_tensor(report.folder / "gray" / page.chapter / f"{page.name}.png") for page in pages])
        target = torch.cat([_tensor(benchmark.root / benchmark.target_key(page)) for page in pages])
        assert found[chapter.name] == pytest.approx(float(metrics.color_identity(preds, target)), abs=1e-12)
    results = evaluate({}, benchmark.root, tmp_path / "out", metric_size="native", progress=False)
    row = find_row(results, "gray_copy")
    low, high = row["intervals"]["color_identity"]
    assert 0 <= low <= row["metrics"]["color_identity"] <= high < 0.01


def test_nothing_is_asked_twice_and_truths_are_shared_by_rows(folder, benchmark, suite, tmp_path, monkeypatch):
    counting = _Counting(monkeypatch)
    first = _score(folder, benchmark, suite, tmp_path / "scores" / "gray" / "tint.jsonl")
    assert counting.pages == 5 * (1 + 2 + 2 + 1)  # pairs; prediction and truth for two networks; predictions alone
    assert _score(folder, benchmark, suite, tmp_path / "scores" / "gray" / "tint.jsonl") == first
    assert counting.pages == 30
    _score(folder, benchmark, suite, tmp_path / "scores" / "gray" / "other.jsonl")
    assert counting.pages == 30 + 5 * (1 + 1 + 1 + 1)


@pytest.mark.parametrize("after", [0, 5, 17])
def test_a_killed_scoring_gives_the_same_numbers_and_loses_a_batch_at_most(
    after, folder, benchmark, suite, tmp_path, monkeypatch
):
    expected, cache = _score(folder, benchmark, suite), tmp_path / "scores" / "gray" / "tint.jsonl"
    with monkeypatch.context() as patch:
        _Counting(patch, die_after=after)
        with pytest.raises(KeyboardInterrupt):
            _score(folder, benchmark, suite, cache)
    counting = _Counting(monkeypatch)
    assert _score(folder, benchmark, suite, cache) == expected
    assert counting.pages <= 30 - after


def test_a_changed_picture_is_asked_about_again(folder, benchmark, suite, tmp_path, monkeypatch):
    cache = tmp_path / "scores" / "gray" / "tint.jsonl"
    _score(folder, benchmark, suite, cache)
    page = benchmark.pages[0]
    shutil.copy(benchmark.root / benchmark.target_key(page), folder.folder / page.chapter / f"{page.name}.png")
    counting = _Counting(monkeypatch)
    found = _score(folder, benchmark, suite, cache)
    assert counting.pages == 4
    assert (found.pages[0]["clip_is"], found.pages[0]["lpips"]) == (pytest.approx(1, abs=1e-12), 0)


def test_other_weights_or_sizes_are_other_answers(folder, benchmark, suite, tmp_path, monkeypatch):
    cache = tmp_path / "scores" / "gray" / "tint.jsonl"
    _score(folder, benchmark, suite, cache)
    counting = _Counting(monkeypatch)
    score(folder, benchmark, Protocol((24, 32)), method="tint", suite=suite, cache=cache, progress=False)
    assert counting.pages == 30
    networks = {"clip_is": suite.networks["clip_is"]}
    object.__setattr__(networks["clip_is"], "digest", "other")
    _score(folder, benchmark, Suite((metrics.clip_is,), networks), cache)
    assert counting.pages == 40


def test_pages_of_other_sizes_go_in_batches_of_their_own(tmp_path, monkeypatch):
    write_chapters(tmp_path / "source", {"a": 2})
    write_chapters(tmp_path / "source", {"b": 2}, size=(48, 40))
    benchmark = build_benchmark(tmp_path / "source", tmp_path / "benchmark", name="mixed", progress=False)
    folder = PredictionsFolder(generate(Tint(), benchmark, tmp_path / "p", progress=False).folder, "gray")
    suite = build_suite(MetricSettings(("lpips",), str(write_alexnet(tmp_path, monkeypatch)), batch_size=8))
    found = _score(folder, benchmark, suite).pages
    for page, row in zip(benchmark.pages, found, strict=True):
        pair = _tensor(folder.pages[page.chapter, page.name]), _tensor(benchmark.root / benchmark.target_key(page))
        assert row["lpips"] == pytest.approx(float(metrics.lpips(*pair, suite.networks["lpips"])), abs=1e-6)


def test_one_page_has_no_set_metrics(tmp_path, suite, caplog):
    benchmark = tiny_benchmark(tmp_path, {"a": 2})
    folder = PredictionsFolder(generate(Tint(), benchmark, tmp_path / "p", progress=False).folder, "gray")
    folder.pages["a", "001"].unlink()
    fresh = PredictionsFolder(folder.root, "gray")
    options = {"method": "tint", "suite": suite, "max_missing": 0.5, "progress": False}
    assert score(fresh, benchmark, NATIVE, **options).sets == {}
    assert "need at least two pages" in caplog.text


def test_every_metric_is_in_the_results(benchmark, tmp_path):
    settings = MetricSettings(ALL)
    specs = {"colorflow": MethodSpec(build=lambda: Tint(5))}
    options = {"metric_size": "native", "metrics": settings, "progress": False}
    results = evaluate(specs, benchmark.root, tmp_path / "out", **options)
    assert read_results(tmp_path / "out" / "results.json") == results
    assert set(results["protocol"]["networks"]) == {"lpips", "clip_is", "fid", "kid", "aesthetic"}
    assert set(results["protocol"]["definitions"]) == set(KEYS)
    for row in results["rows"]:
        assert set(KEYS) - set(row["metrics"]) <= {"color_identity"}  # these pages have no two identities
        assert {"fid", "kid"}.isdisjoint(row["intervals"])
        assert set(PAGES) <= set(row["intervals"])
    assert set(PAGES) <= set(results["pages"][0])
    assert {"fid", "kid"}.isdisjoint(results["pages"][0])
    for text in (markdown_table(results), (tmp_path / "out" / "table.tex").read_text()):
        assert "FID and KID are of all pages together" in text
    assert "fid,fid_low,fid_high" in csv_table(results)


def test_features_read_back_bit_by_bit(tmp_path):
    store, values = FeatureStore(tmp_path / "x.jsonl"), torch.randn(3, 7)
    for number, row in enumerate(values):
        store.add(str(number), row)
    with open(tmp_path / "x.jsonl", "a") as file:
        file.write('{"key": "torn", "featu')
    again = FeatureStore(tmp_path / "x.jsonl")
    assert torch.equal(again.rows(["2", "0", "1"]), values[[2, 0, 1]])
    assert "torn" not in again
    with pytest.raises(KeyError):
        again.rows(["3"])
