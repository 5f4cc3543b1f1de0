"""The row of any program: what it is given, what it must give, and every way in which that goes wrong."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny.benchmark import Tint, color_page, colored_pool, evaluate_tiny, tiny_benchmark

from colorflow.baselines.command import CommandColorizer, CommandError, Program
from colorflow.baselines.command import rows as command_rows
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.generate.generate import GenerationError, generate
from colorflow.methods import MethodSpec
from colorflow.schema import BatchColorizer, PoolColorizer

TOOL = """
import json, os, pathlib, sys
from PIL import Image, ImageOps
pages, references, output = map(pathlib.Path, sys.argv[1:4])
with open(sys.argv[4], "a") as calls:
    told = {"pages": sorted(path.name for path in pages.iterdir()), "references": len(list(references.iterdir()))}
    told["environment"] = {key: os.environ.get(key) for key in ("PYTHONPATH", "MINE", "HOME")}
    calls.write(json.dumps(told) + "\\n")
print("loading weights")
for path in sorted(pages.iterdir()):
    ImageOps.invert(Image.open(path)).save(output / path.with_suffix(".webp").name, lossless=True)
"""


@pytest.fixture
def tool(tmp_path):
    """A template that inverts pages, and what it noted."""
    script, calls = tmp_path / "tool.py", tmp_path / "calls.jsonl"
    script.write_text(TOOL)
    words = [sys.executable, str(script)]
    return f"{shlex.join(words)} {{pages}} {{references}} {{output}} {calls}", calls


def python(tmp_path, code, **options):
    """A method that runs some Python with pages and output as its arguments."""
    command = shlex.join([sys.executable, "-c", f"import sys, time, pathlib, shutil, os\n{code}".replace("{", "{{")])
    return CommandColorizer(Program(f"{command} {{pages}} {{output}}", tmp_path / "logs", **options))


def ask(method, count=2):
    pages = [color_page(number).convert("L").convert("RGB") for number in range(count)]
    return method.colorize_batch(pages, [colored_pool()] * count, seeds=list(range(count)))


COPY = "[shutil.copy(path, sys.argv[2]) for path in pathlib.Path(sys.argv[1]).iterdir()]"


def test_pages_come_back_in_order(tool, tmp_path):
    command, calls = tool
    pages = ask(CommandColorizer(Program(command, tmp_path / "logs", environment={"MINE": "7"})), 12)
    for number, page in enumerate(pages):
        inverted = color_page(number).convert("L").point(lambda level: 255 - level).convert("RGB")
        assert page.tobytes() == inverted.tobytes()
    told = json.loads(calls.read_text())
    assert told["pages"] == [f"{number:03d}.png" for number in range(1, 13)]
    assert told["references"] == 3
    log = (tmp_path / "logs" / "run-001.log").read_text()
    assert "tool.py" in log.splitlines()[0]
    assert "loading weights" in log
    assert "[status 0 after" in log


def test_the_environment_is_ours_without_our_python(tool, tmp_path, monkeypatch):
    command, calls = tool
    monkeypatch.setenv("PYTHONPATH", "ours")
    ask(CommandColorizer(Program(command, tmp_path / "logs", environment={"MINE": "7"})), 1)
    told = json.loads(calls.read_text())["environment"]
    assert (told["PYTHONPATH"], told["MINE"], told["HOME"]) == (None, "7", os.environ.get("HOME"))


FIRST, OUT = "sys.argv[1] + '/001.png'", "sys.argv[2] + "


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "print('no weights'); sys.exit(3)",
            ["expected exit status 0, got 3", "which ends: no weights", "run-001.log"],
        ),
        ("os.kill(os.getpid(), 9)", ["expected exit status 0, got -9", "which is empty"]),
        ("pass", ["expected 2 pictures", "got 0 pictures in {output} and none of 001, 002"]),
        (f"{COPY}; os.remove({OUT}'/002.png')", ["got 1 pictures in {output} and none of 002"]),
        (f"{COPY}; shutil.copy({FIRST}, {OUT}'/grid.png')", ["got 3 pictures", "too many: grid.png"]),
        (f"{COPY}; os.mkdir({OUT}'/x'); shutil.copy({FIRST}, {OUT}'/x/001.png')", ["too many: 001.png, x/001.png"]),
        (f"{COPY}; pathlib.Path({OUT}'/002.png').write_bytes(b'x')", ["expected whole pictures, got 002.png"]),
    ],
)
def test_what_a_program_does_wrong_is_told(tmp_path, code, said):
    with pytest.raises(CommandError) as caught:
        ask(python(tmp_path, code))
    assert all(piece in str(caught.value) for piece in said), str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "logs" / "run-001.log").is_file()


def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path, monkeypatch):
    """Time runs out when the program has started another one, however long that takes."""
    noted, wait, limits = tmp_path / "child", subprocess.Popen.wait, []

    def run_out(process, timeout=None):
        limits.append(timeout)
        if len(limits) > 1:
            return wait(process, timeout)
        while not noted.is_file():
            time.sleep(0.05)
        raise subprocess.TimeoutExpired("it", timeout)

    code = f"""
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("waiting", flush=True)
pathlib.Path({str(tmp_path / "part")!r}).write_text(str(child.pid))
os.rename({str(tmp_path / "part")!r}, {str(noted)!r})
time.sleep(600)"""
    monkeypatch.setattr(subprocess.Popen, "wait", run_out)
    with pytest.raises(CommandError, match=r"expected an end within 30 s, got none.*option seconds.*ends: waiting"):
        ask(python(tmp_path, code, seconds=30))
    assert limits[0] == 30
    child = int(noted.read_text())
    while _runs(child):
        time.sleep(0.05)
    assert "[status None after" in (tmp_path / "logs" / "run-001.log").read_text()


def _runs(process):
    """Whether a process is there and no zombie that nobody waits for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_run_leaves_a_log(tmp_path):
    method = python(tmp_path, COPY)
    ask(method)
    ask(method)
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["run-001.log", "run-002.log"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python tool.py", "expected a template with {pages} and {output}"),
        ("python {pages}", "got none of {output}"),
        ("python {pages} {output} {refs}", "got {refs} in it"),
        ("python {pages} {output", "check quotes and braces"),
        ("python '{pages} {output}", "check quotes and braces"),
        ("no_such_program {pages} {output}", "found none named 'no_such_program'"),
        ("./no_such_program {pages} {output}", "found none named './no_such_program'"),
    ],
)
def test_a_template_that_cannot_be_is_refused_at_once(tmp_path, command, said):
    with pytest.raises(ValueError, match=r"^command: ") as caught:
        Program(command, tmp_path)
    assert said in str(caught.value)


def test_options_that_cannot_be(tmp_path):
    command = f"{sys.executable} {{pages}} {{output}}"
    with pytest.raises(ValueError, match="time limit above 0, got 0"):
        Program(command, tmp_path, seconds=0)
    with pytest.raises(ValueError, match="expected a folder to run in"):
        Program(command, tmp_path, folder=str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"method\.files: .*none\.pth"):
        command_rows(command, str(tmp_path), files=["none.pth"])
    with pytest.raises(ValueError, match="the same references"):
        CommandColorizer(Program(command, tmp_path)).colorize_batch(
            [color_page(1)] * 2, [colored_pool(1), colored_pool(2)], seeds=[0, 1]
        )


def test_fingerprints_hold_what_changes_pages(tmp_path):
    def print_of(**options):
        template = options.pop("command", f"{sys.executable} {{pages}} {{output}}")
        return command_rows(template, str(tmp_path), **options)["command"].fingerprint

    (tmp_path / "weights").write_text("1")
    prints = [print_of(), print_of(command=f"{sys.executable} x {{pages}} {{output}}")]
    prints += [print_of(environment={"A": "1"}), print_of(files=[str(tmp_path / "weights")])]
    (tmp_path / "weights").write_text("2")
    prints.append(print_of(files=[str(tmp_path / "weights")]))
    assert len(set(prints)) == 5
    assert print_of(seconds=5) == prints[0]


def calls_of(calls):
    return [(len(told["pages"]), told["references"]) for told in map(json.loads, calls.read_text().splitlines())]


def run(command, tmp_path, benchmark, **options):
    method = CommandColorizer(Program(command, tmp_path / "logs"))
    assert isinstance(method, BatchColorizer)
    assert isinstance(method, PoolColorizer)
    return generate(method, benchmark, tmp_path / "out", progress=False, **options)


def test_one_run_for_all_pages_with_the_same_references(tool, tmp_path, benchmark):
    """Leave-one-out pools differ from page to page; those of another chapter do not."""
    command, calls = tool
    run(command, tmp_path, benchmark, name="own")
    assert calls_of(calls) == [(1, 2)] * 3 + [(1, 1)] * 2
    calls.unlink()
    run(command, tmp_path, benchmark, name="other", references="other_chapter")
    assert calls_of(calls) == [(3, 2), (2, 3)]
    calls.unlink()
    source = tmp_path / "source"
    with_folders = build_benchmark(source, tmp_path / "folders", name="tiny", references=1, pages=1, progress=False)
    run(command, tmp_path, with_folders, name="folders")
    assert calls_of(calls) == [(1, 1)] * 2


def test_a_run_that_fails_fails_once_and_others_are_kept(tool, tmp_path, benchmark):
    _, calls = tool
    results = evaluate_tiny(benchmark, tmp_path / "out", {"tint": MethodSpec(build=lambda: Tint(5))})
    failing = shlex.join([sys.executable, "-c", f"open({str(calls)!r}, 'a').write('x'); raise SystemExit(2)"])
    rows = command_rows(f"{failing} {{pages}} {{output}}", str(tmp_path / "logs"), references="none")
    with pytest.raises(GenerationError, match="expected exit status 0, got 2"):
        evaluate_tiny(benchmark, tmp_path / "out", {"tint": MethodSpec(build=lambda: Tint(5)), **rows})
    assert calls.read_text() == "x"
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["metrics"] for row in kept["rows"]] == [row["metrics"] for row in results["rows"]]
    assert len(list((tmp_path / "out" / "predictions" / "tint").rglob("*.png"))) == 5
    assert (tmp_path / "logs" / "command" / "run-001.log").is_file()


def test_a_stopped_run_goes_on_with_what_is_due(tool, tmp_path):
    command, calls = tool
    benchmark = tiny_benchmark(tmp_path / "b", {"a": 4, "b": 2})
    run(command, tmp_path, benchmark, references="none")
    lost = sorted((tmp_path / "out" / "command" / "gray" / "a").glob("*.png"))[1:3]
    for path in lost:
        path.unlink()
    before = calls_of(calls)
    report = run(command, tmp_path, benchmark, references="none")
    assert (before, calls_of(calls)[2:], report.written) == ([(4, 0), (2, 0)], [(2, 0)], 2)
    assert all(path.is_file() for path in lost)
