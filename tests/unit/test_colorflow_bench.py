"""The shape of the paper's benchmark: a folder that has it opens, every deviation of another one is named."""

import json
import shutil
from pathlib import Path

import pytest
from tiny.benchmark import TwoTone, tiny_benchmark, write_chapters

from colorflow import config
from colorflow.config import compose_config
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkError, read_benchmark
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.report.paper import SHAPE, paper_rows
from colorflow.evaluation.score.protocol import Protocol, describe_run


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """30 chapters of 50 pages and 40 references, of tiny pictures; one chapter has more pages than are taken."""
    folder = tmp_path_factory.mktemp("colorflow_bench")
    source = write_chapters(folder / "source", {f"c{i}": 91 if i == 7 else 90 for i in range(30)}, size=(16, 16))
    return build_benchmark(source, folder / "benchmark", name="theirs", styles=[TwoTone()], progress=False)


def opened(root: Path, *overrides: str) -> Path:
    given = ["benchmark=colorflow_bench", f"benchmark.root={root}", "weights=unused", "output=unused", *overrides]
    return config.build(compose_config("evaluate", given).benchmark)


def changed(benchmark: Benchmark, to: Path, change: object) -> Path:
    """A folder with another index; the pictures are not looked at before the shape is."""
    index = json.loads((benchmark.root / "benchmark.json").read_text())
    change(index)
    to.mkdir()
    (to / "benchmark.json").write_text(json.dumps(index))
    return to


def test_a_folder_of_the_shape_opens_and_has_the_papers_rows_beside_it(full):
    assert opened(full.root) == full.root
    assert full.shape == SHAPE
    assert (len(full.pages), len(full.files)) == (1500, 30 * (3 * 50 + 40))
    said = describe_run(Protocol(), full, {})
    rows = paper_rows(json.loads(json.dumps(said)), set(full.styles))
    assert [(row["method"], row["style"]) for row in rows if row["method"] == "colorflow"] == [
        ("colorflow", "screenstyle"),
        ("colorflow", "gray"),
    ]


def test_every_deviation_is_named_at_once(full, tmp_path):
    def change(index: dict) -> None:
        del index["chapters"][29]
        index["styles"].remove("screenstyle")
        del index["chapters"][3]["pages"]["049"]
        for chapter in index["chapters"][:8]:
            chapter["references"] = {}

    with pytest.raises(BenchmarkError) as caught:
        opened(changed(full, tmp_path / "other", change))
    lines = str(caught.value).splitlines()
    assert lines[1:5] == [
        "  chapters: expected 30, got 29",
        "  pages: expected 50 in every chapter, got 49 in c3",
        "  references: expected 40 in every chapter, got 0 in c0, 0 in c1, 0 in c2, 0 in c3, 0 in c4 and in 3 more",
        "  styles: expected gray, screenstyle, got gray",
    ]
    assert "30 chapters of at least 90 readable pages" in lines[5]
    assert "data/build_benchmark.py source=DIR output=DIR pages=50 references=40 styles=[gray,screenstyle]" in lines[5]


def test_the_shape_is_an_option_and_other_benchmarks_have_no_rows_of_the_paper(tmp_path):
    benchmark = tiny_benchmark(tmp_path)
    counts = ["benchmark.chapters=2", "benchmark.references=0", "benchmark.styles=[gray]"]
    with pytest.raises(BenchmarkError, match=r"shape of ColorFlow-Bench:\n  pages: expected 3 .* got 2 in b\n"):
        opened(benchmark.root, *counts, "benchmark.pages=3")
    shutil.rmtree(benchmark.root)
    source = write_chapters(tmp_path / "even", {"a": 2, "b": 2})
    even = build_benchmark(source, benchmark.root, name="ColorFlow-Bench", progress=False)
    assert opened(even.root, *counts, "benchmark.pages=2") == even.root
    assert paper_rows(describe_run(Protocol(), even, {}), {"gray"}) == []


def test_damaged_files_are_still_seen_and_no_benchmark_is_told(full, tmp_path):
    root = opened(changed(full, tmp_path / "bare", lambda index: None))
    with pytest.raises(BenchmarkError, match="5700 of 5700 files"):
        read_benchmark(root)
    with pytest.raises(BenchmarkError, match=r"data/build_benchmark\.py"):
        opened(tmp_path)
