"""evaluate.py by several real processes: the results of one; killed or on a full disk all end, and can go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny.benchmark import tiny_benchmark
from tiny.rank_run import evaluate_in_ranks, evaluate_tint, meet_and_stop, run_evaluate
from tiny.ranks import ROOT, in_ranks, start_ranks, torchrun
from tiny.runs import call_main

import evaluate
from colorflow.distributed.ranks import Ranks

PAGES = 9
WAIT = 240


def results(output: Path) -> dict[str, Any]:
    """Everything that one evaluation leaves but its times and caches."""
    kept = [path for path in sorted(output.rglob("*")) if path.is_file() and "scores" not in path.parts]
    files: dict[str, Any] = {path.relative_to(output).as_posix(): path.read_bytes() for path in kept}
    for name in [name for name in files if name.endswith("manifest.jsonl")]:
        files[name] = [{**json.loads(line), "seconds": 0} for line in files[name].splitlines()]
    files.pop("sources.json")  # paths relative to the output: the same where that is beside it
    return files


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Same files, same bytes."""
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


# evaluate.py, under torch's launcher and as tasks of srun, which nobody watches over.


def run(world: int, work: Callable[..., None], *arguments: str) -> list[tuple[int | None, str, str]]:
    """Exit status, standard output and standard error of every task of srun; none may hang."""
    return [task.end(WAIT) for task in start_ranks(world, work, *arguments)]


@pytest.fixture(scope="module")
def asked(debug_run):
    return [
        "method=colorflow",
        f"weights={debug_run.folder / 'export'}",
        "benchmark=folder",
        f"benchmark.root={debug_run.benchmark}",
        "recipe.sampling.num_inference_steps=2",
        "metrics=pixels",
    ]


def test_two_processes_of_torchrun_give_the_results_of_one(asked, tmp_path):
    assert call_main(evaluate, *asked, f"output={tmp_path / 'one'}") is None
    two = torchrun(2, str(ROOT / "evaluate.py"), *asked, f"output={tmp_path / 'two'}", cwd=tmp_path)
    assert two.returncode == 0, two.stderr[-3000:]
    assert_same(results(tmp_path / "two"), results(tmp_path / "one"))
    assert "results.json" in results(tmp_path / "one")
    assert two.stdout.count("over the gray copy") == 1, "the table is printed once"
    assert two.stdout.count("pages coloured") == 2


def test_a_mistake_ends_all_processes_in_words(asked, tmp_path):
    given = [item for item in asked if not item.startswith("recipe")]
    for code, _, said in run(2, run_evaluate, *given, "styles=[ink]", f"output={tmp_path / 'out'}"):
        assert code == 1
        assert "expected a style of gray, got 'ink'" in said


def test_a_retrieval_study_is_made_once(tmp_path):
    small = [f"study.toon.{item}" for item in ("characters=4", "images=3", "min_side=16", "spec.size=[96,144]")]
    given = ["experiment=figure9", "retrieval=hog", f"output={tmp_path / 'out'}", *small]
    ended = run(2, run_evaluate, *given)
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert ["| encoder | queries |" in out for _, out, _ in ended] == [True, False]
    assert (tmp_path / "out" / "figure9.png").is_file()


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Nine pages."""
    root = tmp_path_factory.mktemp("ranks")
    return tiny_benchmark(root, {"a": 4, "b": 3, "c": 2}).root


@pytest.fixture(scope="module")
def whole(benchmark, tmp_path_factory):
    """What one process makes of them."""
    output = tmp_path_factory.mktemp("whole") / "out"
    evaluate_tint(benchmark, output, Ranks())
    return results(output)


def recorded(output: Path) -> set[str]:
    lines = [line for path in output.rglob("tint/gray/manifest*.jsonl") for line in path.read_text().splitlines()]
    return {f"{record['chapter']}/{record['page']}" for record in map(json.loads, lines)}


def go_on(world: int, benchmark: Path, output: Path) -> None:
    """Run again until all is there; threads will do."""
    ended = in_ranks(world, lambda ranks: evaluate_tint(benchmark, output, ranks))
    assert [type(result) for result in ended] == [dict] * world


def test_tasks_of_srun_meet_work_and_end(benchmark, tmp_path, whole):
    ended = run(2, evaluate_in_ranks, str(benchmark), str(tmp_path / "out"))
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert_same(results(tmp_path / "out"), whole)


@pytest.mark.parametrize(
    ("before", "killed", "seed", "after", "message"),
    [
        (2, 1, 6, 4, "process 1 of 2 has been killed (out of memory?) or stopped"),
        (2, 0, 2, 3, "process 0 of 2 has been killed or stopped"),
    ],
)
def test_a_killed_process_ends_the_others_and_any_number_goes_on(
    before, killed, seed, after, message, benchmark, tmp_path, whole
):
    ended = run(before, evaluate_in_ranks, str(benchmark), str(tmp_path / "out"), f"kill={seed}")
    assert ended[killed][0] == -9
    code, _, said = ended[1 - killed]
    assert code == 1
    assert message in said
    done = recorded(tmp_path / "out")
    assert 0 < len(done) < PAGES
    times = {page: (tmp_path / "out/predictions/tint/gray" / f"{page}.png").stat().st_mtime_ns for page in done}
    go_on(after, benchmark, tmp_path / "out")
    assert_same(results(tmp_path / "out"), whole)
    for page, time in times.items():
        assert (tmp_path / "out/predictions/tint/gray" / f"{page}.png").stat().st_mtime_ns == time, "made twice"


@pytest.mark.parametrize("works", ["works", "waits"])
def test_a_stopped_first_process_ends_the_others(works):
    """As a node without power: its connections stay, nobody answers."""
    stopped, other = start_ranks(2, meet_and_stop, works)
    try:
        code, _, said = other.end(WAIT)
    finally:
        stopped.kill()
    assert code == 1
    assert "RankError: process 0 of 2 has been killed or stopped" in said


def test_a_full_disk_in_one_process_ends_all_and_keeps_what_is_there(benchmark, tmp_path, whole):
    (first, _, said), (second, _, why) = run(2, evaluate_in_ranks, str(benchmark), str(tmp_path / "out"), "full=1")
    assert (first, second) == (1, 1)
    assert "expected to write the page, got OSError" in why
    assert "process 1 of 2 failed: GenerationError" in said
    go_on(2, benchmark, tmp_path / "out")
    assert_same(results(tmp_path / "out"), whole)
