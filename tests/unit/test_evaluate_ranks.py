"""Whole evaluations by several processes (threads around one store): results.json byte for byte, at any number."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny.benchmark import Tint, TintTogether, tiny_benchmark
from tiny.metrics import ALL
from tiny.ranks import in_ranks

from colorflow.distributed.ranks import RankError, Ranks
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkError
from colorflow.evaluation.run import evaluate
from colorflow.evaluation.stages import Work
from colorflow.methods import MethodSpec
from colorflow.metrics import MetricSettings, PageNetwork
from colorflow.utils.files import read_jsonl

SETTINGS = MetricSettings(ALL, batch_size=3)
ROWS = ("results.json", "table.md", "table.csv", "pages.csv", "differences.csv", "index.html")


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return tiny_benchmark(tmp_path_factory.mktemp("nine"), {"a": 4, "b": 3, "c": 2})


def _evaluate(world: int, benchmark: Benchmark, output: Path, **options: Any) -> list[Any]:
    """One evaluation of two rows, by as many processes."""
    batch_size = options.pop("batch_size", 1)
    options = {"metric_size": "native", "metrics": SETTINGS, "progress": False} | options
    specs = {"tint": MethodSpec(build=TintTogether), "wrong": MethodSpec(build=Tint, references="other_chapter")}

    def work(ranks: Ranks) -> Any:
        return evaluate(specs, benchmark.root, output, work=Work(ranks, batch_size), **options)

    return in_ranks(world, work) if world > 1 else [work(Ranks())]


def _files(output: Path) -> dict[str, bytes]:
    return {name: (output / name).read_bytes() for name in ROWS}


@pytest.fixture(scope="module")
def counted(benchmark: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """What one process makes, and how many pages its networks see."""
    output = tmp_path_factory.mktemp("alone") / "out"
    with pytest.MonkeyPatch.context() as patch:
        seen = _count_pages(patch)
        _evaluate(1, benchmark, output)
    return output, seen()


@pytest.fixture
def alone(counted: tuple[Path, int]) -> Path:
    return counted[0]


@pytest.mark.parametrize(("world", "batch_size"), [(2, 1), (3, 2), (11, 1)])
def test_results_are_those_of_one_process_byte_for_byte(
    world: int, batch_size: int, benchmark: Benchmark, tmp_path: Path, alone: Path
) -> None:
    first, *others = _evaluate(world, benchmark, tmp_path / "out", batch_size=batch_size)
    assert _files(tmp_path / "out") == _files(alone)
    assert [row["method"] for row in first["rows"]] == ["gray_copy", "tint", "wrong"]
    assert all(other["rows"] == [] and other["protocol"] == first["protocol"] for other in others)


def test_stages_one_by_one_with_numbers_of_their_own(benchmark: Benchmark, tmp_path: Path, alone: Path) -> None:
    for world, stage in ((2, "generate"), (3, "score"), (2, "report")):
        _evaluate(world, benchmark, tmp_path / "out", stage=stage)
    assert _files(tmp_path / "out") == _files(alone)


def _count_pages(monkeypatch: pytest.MonkeyPatch, die_after: int | None = None) -> Callable[[], int]:
    """Count the pages that networks see in this process; fail after some."""
    seen = [0]
    original = PageNetwork.forward

    def forward(network: PageNetwork, prepared: list[torch.Tensor], places: list[int]) -> torch.Tensor:
        if die_after is not None and seen[0] >= die_after:
            raise RuntimeError("the machine fails")
        seen[0] += len(prepared)
        return original(network, prepared, places)

    monkeypatch.setattr(PageNetwork, "forward", forward)
    return lambda: seen[0]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (3, 2)])
def test_a_stopped_scoring_goes_on_with_any_number_and_asks_nothing_twice(
    before: int,
    after: int,
    benchmark: Benchmark,
    tmp_path: Path,
    counted: tuple[Path, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone, total = counted
    with monkeypatch.context() as patch:
        done = _count_pages(patch, die_after=20)
        if before == 1:
            with pytest.raises(RuntimeError, match="the machine fails"):
                _evaluate(1, benchmark, tmp_path / "out")
        else:
            assert all(isinstance(error, RuntimeError) for error in _evaluate(before, benchmark, tmp_path / "out"))
    again = _count_pages(monkeypatch)
    _evaluate(after, benchmark, tmp_path / "out")
    assert done() + again() == total
    assert _files(tmp_path / "out") == _files(alone)


def test_every_page_is_measured_once_and_by_its_process(benchmark: Benchmark, tmp_path: Path) -> None:
    _evaluate(3, benchmark, tmp_path / "out")
    rows = [read_jsonl(tmp_path / "out" / "scores" / "gray" / f"tint{part}.jsonl") for part in ("", "@1", "@2")]
    found = [[(row["chapter"], row["page"]) for row in part] for part in rows]
    assert [page for part in found for page in part] == [(page.chapter, page.name) for page in benchmark.pages]
    assert [len(part) for part in found] == [3, 3, 3]


def test_what_a_network_folder_does_not_show_is_measured_again(
    benchmark: Benchmark, tmp_path: Path, alone: Path
) -> None:
    _evaluate(2, benchmark, tmp_path / "out")
    for path in (tmp_path / "out" / "scores").rglob("*@1.jsonl"):
        path.unlink()
    _evaluate(1, benchmark, tmp_path / "out", stage="score")
    assert (tmp_path / "out" / "results.json").read_bytes() == (alone / "results.json").read_bytes()


def test_a_damaged_benchmark_ends_all(benchmark: Benchmark, tmp_path: Path) -> None:
    damaged = replace(benchmark, root=shutil.copytree(benchmark.root, tmp_path / "damaged"))
    keys = [benchmark.target_key(page) for page in benchmark.pages]
    shutil.copy(damaged.root / keys[1], damaged.root / keys[0])
    first, second = _evaluate(2, damaged, tmp_path / "out")
    assert isinstance(first, BenchmarkError)
    assert isinstance(second, RankError)
    assert "process 0 of 2 failed: BenchmarkError" in str(second)


def test_one_process_of_a_distributed_world_waits_for_nobody(
    benchmark: Benchmark, tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after training: rank 0 evaluates, the others have gone on."""
    given = {"RANK": "0", "WORLD_SIZE": "8", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    _evaluate(1, benchmark, tmp_path / "out")
    assert _files(tmp_path / "out") == _files(alone)
