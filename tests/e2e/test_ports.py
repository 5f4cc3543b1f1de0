"""Ported systems as rows: ``python evaluate.py method=mcv2|acdo ...`` on a tiny benchmark, with random weights."""

import json

import pytest
from tiny.benchmark import tiny_benchmark
from tiny.runs import call_main

import evaluate


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return tiny_benchmark(tmp_path_factory.mktemp("bench"), {"a": 2})


def run(bench, output, *overrides):
    fixed = ["benchmark=folder", f"benchmark.root={bench.root}", "metrics=pixels", "metrics.metric_size=native"]
    return call_main(evaluate, *fixed, f"output={output}", *overrides)


def manifest(output, row):
    lines = (output / "predictions" / row / "gray" / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def check_row(output, row, native):
    results = json.loads((output / "results.json").read_text())
    assert [entry["method"] for entry in results["rows"]] == ["gray_copy", row]
    assert all(record["size"] == native for record in manifest(output, row))
    assert (output / "index.html").is_file()


@pytest.fixture
def mcv2(mcv2_files):
    weights, denoiser = mcv2_files
    return ["method=mcv2", f"method.weights={weights}", f"method.denoiser={denoiser}", "method.size=32"]


def test_mcv2_is_a_row(bench, mcv2, tmp_path):
    assert run(bench, tmp_path, *mcv2) is None
    check_row(tmp_path, "mcv2", [32, 45])
    before = (tmp_path / "results.json").read_text()
    assert run(bench, tmp_path, *mcv2) is None
    assert (tmp_path / "results.json").read_text() == before
    message = run(bench, tmp_path, *mcv2, "method.sigma=10")
    assert message is not None, "pages of other options are not continued"
    assert "fingerprint" in message


def test_acdo_is_a_row(bench, acdo_file, tmp_path):
    assert run(bench, tmp_path, "method=acdo", f"method.weights={acdo_file}", "method.render_factor=3") is None
    check_row(tmp_path, "acdo", [48, 48])


@pytest.mark.parametrize("method", ["mcv2", "acdo"])
def test_weights_are_asked_for_before_anything_runs(bench, method, tmp_path):
    message = run(bench, tmp_path, f"method={method}")
    assert message is not None
    assert f"found none at weights/{method}/" in message, "its default place"
    assert "put it there or set method.weights=PATH" in message
    lost = [f"method={method}", "method.weights=nowhere.pth", *(["method.denoiser=null"] if method == "mcv2" else [])]
    message = run(bench, tmp_path, *lost)
    assert message is not None
    assert "method.weights: expected" in message
    assert "found none at nowhere.pth" in message
    assert "\n" not in message
    assert not (tmp_path / "predictions").exists()
