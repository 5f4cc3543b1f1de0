"""Generation by several processes (threads around one store): the pages of one, in any number, after any stop."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny.benchmark import Tint, TintTogether, tiny_benchmark
from tiny.ranks import in_ranks

from colorflow.distributed.ranks import Ranks
from colorflow.evaluation.bench.benchmark import Benchmark
from colorflow.evaluation.generate import generation_folder
from colorflow.evaluation.generate.generate import GenerationReport, MethodError, generate
from colorflow.schema import Colorizer
from colorflow.utils.files import read_jsonl

PAGES = {"a": 4, "b": 3, "c": 2}


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return tiny_benchmark(tmp_path, PAGES)


def _files(folder: Path) -> dict[str, Any]:
    pictures = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}
    manifest = [{**record, "seconds": 0} for record in read_jsonl(folder / "gray" / "manifest.jsonl")]
    others = {path.name for path in (folder / "gray").iterdir() if path.is_file()}
    return {**pictures, "manifest": manifest, "files": others}


def _generate(
    world: int,
    benchmark: Benchmark,
    output: Path,
    make: Callable[[int], Colorizer] = lambda rank: Tint(),
    **options: Any,
) -> list[Any]:
    def work(ranks: Ranks) -> GenerationReport:
        return generate(make(ranks.rank), benchmark, output, ranks=ranks, progress=False, **options)

    return in_ranks(world, work)


@pytest.fixture
def whole(benchmark: Benchmark, tmp_path: Path) -> dict[str, Any]:
    return _files(generate(Tint(), benchmark, tmp_path / "whole", progress=False).folder)


@pytest.mark.parametrize("world", [2, 4, 12])
def test_any_number_of_processes_makes_the_same_folder(world, benchmark, tmp_path, whole):
    methods = {rank: Tint() for rank in range(world)}
    reports = _generate(world, benchmark, tmp_path / "out", methods.__getitem__)
    assert _files(tmp_path / "out" / "tint") == whole
    assert whole["files"] == {"manifest.jsonl", "generation.json"}
    assert {(report.written, report.reused, report.failures) for report in reports} == {(9, 0, ())}
    seeds = [[seed for seed, _ in method.calls] for method in methods.values()]
    assert [seed for part in seeds for seed in part] == list(range(9))  # each page once, neighbours together
    assert max(map(len, seeds)) - min(map(len, seeds)) <= 1


def test_batches_are_not_torn_between_processes(benchmark, tmp_path, whole):
    methods = {rank: TintTogether() for rank in range(2)}
    _generate(2, benchmark, tmp_path / "out", methods.__getitem__, batch_size=3)
    assert sorted(batch for method in methods.values() for batch in method.batches) == [[0, 1, 2], [4, 5, 6], [7, 8]]
    assert _files(tmp_path / "out" / "tint") == whole


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4), (4, 2), (3, 3)])
@pytest.mark.parametrize("fails", [0, 3, 5, 8])
def test_a_stopped_run_goes_on_with_any_number(before, after, fails, benchmark, tmp_path, whole):
    first = {rank: Tint(fail_on=(fails,)) for rank in range(before)}
    stopped = _generate(before, benchmark, tmp_path / "out", first.__getitem__, max_failures=0)
    assert [type(result) for result in stopped] == [MethodError] * before
    done = {seed for method in first.values() for seed, _ in method.calls}
    second = {rank: Tint() for rank in range(after)}
    reports = _generate(after, benchmark, tmp_path / "out", second.__getitem__)
    again = {seed for method in second.values() for seed, _ in method.calls}
    assert again == set(range(9)) - done  # nothing lost, nothing twice
    assert {(report.written, report.reused) for report in reports} == {(len(again), len(done))}
    assert _files(tmp_path / "out" / "tint") == whole


def test_failures_are_counted_and_listed_over_all(benchmark, tmp_path, caplog):
    reports = _generate(2, benchmark, tmp_path / "out", lambda rank: Tint(fail_on=(1, 8)), max_failures=0.25)
    assert [[page for page, _ in report.failures] for report in reports] == [["a/001", "c/001"]] * 2
    assert "page c/001 failed and is left out" in caplog.text
    errors = _generate(2, benchmark, tmp_path / "more", lambda rank: Tint(fail_on=(1, 7, 8)), max_failures=0.25)
    assert [type(error) for error in errors] == [MethodError] * 2
    assert len({str(error) for error in errors}) == 1, "all processes say the same"
    assert "3 of 9 pages failed, more than max_failures=0.25 allows (2)" in str(errors[0])


def test_settings_that_differ_are_found_before_a_page(benchmark, tmp_path):
    def work(ranks: Ranks) -> GenerationReport:
        fingerprint = f"weights {ranks.rank}"
        return generate(Tint(), benchmark, tmp_path, fingerprint=fingerprint, ranks=ranks, progress=False)

    message = "settings of tint (gray): process 1 has ['weights 1'] for fingerprint"
    assert all(message in str(error) for error in in_ranks(2, work))
    assert not (tmp_path / "tint").exists()


def test_an_output_that_processes_do_not_share_is_named(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(generation_folder, "_SHOWN_AFTER", 0.1)

    def work(ranks: Ranks) -> GenerationReport:
        return generate(Tint(), benchmark, tmp_path / f"node{ranks.rank}", ranks=ranks, progress=False)

    errors = in_ranks(2, work)
    assert any("does not see" in str(error) and "a folder that all processes share" in str(error) for error in errors)


def test_pages_that_a_network_folder_shows_late_are_waited_for(benchmark, tmp_path, monkeypatch, whole):
    original, looks, lock = generation_folder._listed, [0], threading.Lock()

    def late(folder: Path) -> set[str]:
        with lock:
            looks[0] += 1
        return original(folder) if looks[0] > 2 else set()

    monkeypatch.setattr(generation_folder, "_listed", late)
    _generate(2, benchmark, tmp_path / "out")
    assert looks[0] > 2
    assert _files(tmp_path / "out" / "tint") == whole
