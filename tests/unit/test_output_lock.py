"""An output has one evaluation at a time: refused in words while one runs, free after any end of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny.benchmark import Tint, evaluate_tiny, tiny_benchmark
from tiny.ranks import ROOT, in_ranks

from colorflow.distributed.ranks import RankError
from colorflow.evaluation.stages import Work
from colorflow.methods import MethodSpec
from colorflow.utils.output_lock import LOCK, OutputLockError, locked

HOLD = """
import sys
from pathlib import Path
from colorflow.utils.output_lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_evaluation_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    benchmark = tiny_benchmark(tmp_path)
    output = tmp_path / "out"
    refused: list[OutputLockError] = []

    class Slow(Tint):
        def colorize(self, *asked: object, **options: object) -> object:
            if not refused:
                with pytest.raises(OutputLockError) as caught:
                    evaluate_tiny(benchmark, output, {"tint": MethodSpec(build=Tint)})
                refused.append(caught.value)
            return super().colorize(*asked, **options)

    results = evaluate_tiny(benchmark, output, {"tint": MethodSpec(build=Slow)})
    assert "another launch writes there (since 2" in str(refused[0])
    assert f"process {os.getpid()} of " in str(refused[0])
    assert "wait for its end, or choose another output" in str(refused[0])
    assert not (output / LOCK).exists()
    assert evaluate_tiny(benchmark, output, {"tint": MethodSpec(build=Tint)}) == results


def test_the_first_process_holds_it_for_all(tmp_path: Path) -> None:
    benchmark = tiny_benchmark(tmp_path)

    def work(ranks):
        return evaluate_tiny(benchmark, tmp_path / "out", {"tint": MethodSpec(build=Tint)}, work=Work(ranks))

    assert [type(result) for result in in_ranks(2, work)] == [dict] * 2
    with locked(tmp_path / "out"):
        first, second = in_ranks(2, work)
    assert isinstance(first, OutputLockError)
    assert isinstance(second, RankError)
    assert "process 0 of 2 failed: OutputLockError" in str(second)


def test_a_killed_evaluation_leaves_no_lock(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, text=True, **pipes) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(OutputLockError, match=f"process {holder.pid} of "), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
    assert (tmp_path / LOCK).is_file()
    with locked(tmp_path):
        assert f"process {os.getpid()} of " in (tmp_path / LOCK).read_text()
    assert not (tmp_path / LOCK).exists()
