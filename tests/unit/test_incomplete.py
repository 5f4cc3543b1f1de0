"""Rows that cannot be whole: marked with their reasons, and every other row is what it is without them."""

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny.benchmark import Tint, TwoTone, evaluate_tiny, tinted_folder, tiny_benchmark, write_chapters
from tiny.ranks import in_ranks

from colorflow.baselines.predictions import PredictionsError
from colorflow.distributed.ranks import Ranks
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkError
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.generate.generate import MethodError
from colorflow.evaluation.results import read_results, write_results
from colorflow.evaluation.stages import EvaluationError, Work
from colorflow.methods import MethodSpec, Problem

GOOD = {"tint": MethodSpec(build=lambda: Tint(5)), "more": MethodSpec(build=lambda: Tint(60))}
UNGIVEN = MethodSpec(problem=Problem("expected weights, found none; fetch them", failed=False))


def fails(seeds: range = range(5)) -> MethodSpec:
    return MethodSpec(build=lambda: Tint(fail_on=tuple(seeds)))


def broken() -> Tint:
    raise MemoryError("no room for the network")


def pictures(benchmark: Benchmark, parent: Path) -> Path:
    return tinted_folder(benchmark, parent).root


def reasons(results: dict[str, Any]) -> dict[str, str]:
    return {row["method"]: row["reason"] for row in results["incomplete"]}


def test_what_is_not_given_and_what_fails_stands_beside_whole_rows(benchmark, tmp_path):
    plain = evaluate_tiny(benchmark, tmp_path / "plain", GOOD)
    bad = {"ungiven": UNGIVEN, "fails": fails(), "broken": MethodSpec(build=broken)}
    methods = {"fails": bad["fails"], "tint": GOOD["tint"], "ungiven": UNGIVEN, "broken": bad["broken"]}
    results = evaluate_tiny(benchmark, tmp_path / "out", {**methods, "more": GOOD["more"]}, incomplete="mark")
    assert results["rows"] == plain["rows"]
    assert results["pages"] == plain["pages"]
    assert plain["incomplete"] == []
    marked = [(row["method"], row["failed"]) for row in results["incomplete"]]
    assert marked == [("fails", True), ("ungiven", False), ("broken", True)]
    assert "fails: 2 of 5 pages failed" in reasons(results)["fails"]
    assert "told to fail on seed 0" in reasons(results)["fails"]
    assert reasons(results)["broken"] == "no room for the network"
    assert json.loads((tmp_path / "out" / "results.json").read_text())["incomplete"] == results["incomplete"]


def test_reasons_are_in_every_form_of_the_report(benchmark, tmp_path, capsys):
    methods = {"mcv2": UNGIVEN, **GOOD}
    evaluate_tiny(benchmark, tmp_path, methods, incomplete="mark", progress=True)
    table = (tmp_path / "table.md").read_text()
    assert "| MC-v2 | gray | - | - | - |" in table
    assert "Without numbers:\n\n- MC-v2 (gray): expected weights, found none; fetch them\n" in table
    assert "MC-v2 & gray & - & -" in (tmp_path / "table.tex").read_text()
    page = (tmp_path / "index.html").read_text()
    assert '<tr class=gap data-method="mcv2"' in page
    assert "<li>MC-v2 (gray): expected weights, found none; fetch them</li>" in page
    said = " ".join(capsys.readouterr().out.split())
    assert "MC-v2 (gray): expected weights, found none; fetch them" in said
    again = evaluate_tiny(benchmark, tmp_path, {}, stage="report")
    assert list(reasons(again)) == ["mcv2"]


@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        ({"a": UNGIVEN, "b": MethodSpec(problem=Problem("damaged"))}, EvaluationError, "fetch them\ndamaged$"),
        ({"a": fails()}, MethodError, "2 of 5 pages failed"),
        ({"a": MethodSpec(build=broken)}, MemoryError, "no room"),
        ({"a": MethodSpec(predictions=Path("nowhere"))}, PredictionsError, "expected the folder nowhere/gray"),
    ],
)
def test_else_the_first_ends_the_evaluation(bad, error, said, benchmark, tmp_path):
    with pytest.raises(error, match=said):
        evaluate_tiny(benchmark, tmp_path / "out", {**bad, **GOOD})
    assert not (tmp_path / "out" / "results.json").exists()
    with pytest.raises(EvaluationError, match="incomplete: expected one of stop, mark, got 'skip'"):
        evaluate_tiny(benchmark, tmp_path / "out", GOOD, incomplete="skip")


def test_folders_with_a_page_too_many_too_few_or_torn(benchmark, tmp_path):
    folders = {name: pictures(benchmark, tmp_path / name) for name in ("whole", "few", "many", "torn", "wrong")}
    (folders["few"] / "gray/a/001.png").unlink()
    shutil.copy(folders["many"] / "gray/a/001.png", folders["many"] / "gray/a/099.png")
    (folders["torn"] / "gray/b/000.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (90, 20)).save(folders["wrong"] / "gray/b/001.png")
    methods = {name: MethodSpec(predictions=folder) for name, folder in folders.items()}
    results = evaluate_tiny(benchmark, tmp_path / "out", {**methods, **GOOD}, incomplete="mark")
    assert [row["method"] for row in results["rows"]] == ["gray_copy", "whole", "tint", "more"]
    said = reasons(results)
    assert list(said) == ["few", "many", "torn", "wrong"]
    assert "got 1 missing (0 allowed) and 0 extra\n  missing: a/001" in said["few"]
    assert "got 0 missing (0 allowed) and 1 extra\n  extra: a/099" in said["many"]
    assert "torn: page b/000" in said["torn"]
    assert "expected a picture of the aspect of" in said["wrong"]
    for name in said:
        with pytest.raises(PredictionsError):
            evaluate_tiny(benchmark, tmp_path / f"{name} alone", {name: methods[name]})


def test_a_row_can_lack_one_style_or_its_references(tmp_path):
    source = write_chapters(tmp_path / "source", {"a": 3})
    two = build_benchmark(source, tmp_path / "two", name="two", styles=[TwoTone()], progress=False)
    other = MethodSpec(build=Tint, references="other_chapter")
    methods = {"given": MethodSpec(predictions=pictures(two, tmp_path / "given")), "other": other}
    results = evaluate_tiny(two, tmp_path / "out", methods, styles=("gray", "screenstyle"), incomplete="mark")
    rows = [(row["method"], row["style"]) for row in results["rows"]]
    assert rows == [("gray_copy", "gray"), ("gray_copy", "screenstyle"), ("given", "gray")]
    said = {(row["method"], row["style"]): row["reason"] for row in results["incomplete"]}
    assert list(said) == [("other", "gray"), ("given", "screenstyle"), ("other", "screenstyle")]
    assert "given/tint/screenstyle" in said["given", "screenstyle"]
    assert "need at least two chapters" in said["other", "gray"]
    with pytest.raises(BenchmarkError, match="need at least two chapters"):
        evaluate_tiny(two, tmp_path / "stopped", {"other": other})


def test_a_mended_method_goes_on_and_the_others_are_kept(benchmark, tmp_path):
    whole = evaluate_tiny(benchmark, tmp_path / "whole", {"late": MethodSpec(build=Tint), **GOOD})
    evaluate_tiny(benchmark, tmp_path / "out", {"late": fails(range(2, 5)), **GOOD}, incomplete="mark")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/predictions").rglob("*.png")}
    assert len([path for path in made if "late" in path.parts]) == 2
    calls = Tint()
    mended = {"late": MethodSpec(build=lambda: calls), **GOOD}
    results = evaluate_tiny(benchmark, tmp_path / "out", mended, incomplete="mark")
    assert [seed for seed, _ in calls.calls] == [2, 3, 4]
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert (results["rows"], results["incomplete"]) == (whole["rows"], [])


def test_results_of_older_runs_have_no_incomplete_rows(benchmark, tmp_path):
    results = evaluate_tiny(benchmark, tmp_path, GOOD)
    del results["incomplete"]
    write_results(results, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json")["incomplete"] == []
    assert evaluate_tiny(benchmark, tmp_path, GOOD, stage="report")["incomplete"] == []


class Heavy(Tint):
    """Of which one may live at a time."""


def test_one_method_is_held_at_a_time_and_what_rows_share_until_the_last(benchmark, tmp_path):
    alive: weakref.WeakSet[Heavy] = weakref.WeakSet()
    shared: list[Heavy] = []
    events: list[str] = []

    def build(name: str) -> Heavy:
        gc.collect()
        events.append(f"{name} beside {len(alive)}")
        alive.add(method := Heavy(name=name))
        return method

    def take() -> Heavy:
        if not shared:
            shared.append(build("shared"))
        return shared[0]

    def release() -> None:
        events.append("release")
        shared.clear()

    methods = {
        "one": MethodSpec(build=lambda: build("one")),
        "a": MethodSpec(build=take, release=release),
        "b": MethodSpec(build=take, release=release),
        "two": MethodSpec(build=lambda: build("two")),
    }
    evaluate_tiny(benchmark, tmp_path, methods)
    assert events == ["one beside 0", "shared beside 0", "release", "two beside 0"]


@pytest.mark.parametrize("world", [2, 3])
def test_what_one_process_meets_is_marked_in_all(world, tmp_path):
    benchmark = tiny_benchmark(tmp_path, {"a": 4, "b": 3, "c": 2})
    torn = pictures(benchmark, tmp_path / "torn")
    (torn / "gray/c/001.png").write_bytes(b"\x89PNG")  # the last process's to measure

    def methods(rank: int) -> dict[str, MethodSpec]:
        ends = MethodSpec(build=broken if rank == 1 else Tint)
        return {"ends": ends, "fails": fails(range(6, 9)), "torn": MethodSpec(predictions=torn), **GOOD}

    def work(ranks: Ranks, output: Path) -> Any:
        return evaluate_tiny(benchmark, output, methods(ranks.rank), work=Work(ranks), incomplete="mark")

    first, *others = in_ranks(world, lambda ranks: work(ranks, tmp_path / "out"))
    assert not any(isinstance(result, Exception) for result in (first, *others)), (first, others)
    assert [row["method"] for row in first["rows"]] == ["gray_copy", "tint", "more"]
    assert list(reasons(first)) == ["ends", "fails", "torn"]
    alone = evaluate_tiny(benchmark, tmp_path / "alone", GOOD)
    assert first["rows"] == alone["rows"]


def test_a_row_is_of_one_kind():
    for options in ({}, {"build": Tint, "predictions": Path("x")}, {"build": Tint, "problem": Problem("x")}):
        with pytest.raises(ValueError, match="expected one of build, predictions and problem"):
            MethodSpec(**options)  # type: ignore[arg-type]
