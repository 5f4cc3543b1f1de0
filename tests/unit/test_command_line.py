"""The command line: what is wrong with it is said before torch is imported, and a start that fails leaves nothing."""

import json
import os
import subprocess
import sys

import pytest
from tiny.runs import TINY, call_main

import colorize
import evaluate
import train
from colorflow.config import CONFIGS

ROOT = CONFIGS.parent
PROBE = """
import json, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    print(end.code, file=sys.stderr)
print("\\n" + json.dumps([name for name in ("torch", "lightning", "diffusers", "fsspec") if name in sys.modules]))
"""
TYPO = "# @package _global_\noptimizer: {lrr: 1.0e-4}\n"
AT_ONCE = {
    "train --help": (["train.py", "--help"], "Configuration groups"),
    "evaluate --help": (["evaluate.py", "--help"], "Score methods"),
    "colorize --help": (["colorize.py", "--help"], "Colour chapters"),
    "--cfg job": (["train.py", "--cfg", "job"], "experiment_name: default"),
    "a mistyped key": (
        ["train.py", "optimizer.lrr=1"],
        "unknown key 'optimizer.lrr' on the command line; did you mean optimizer.lr?",
    ),
    "a key that no target takes": (["train.py", "+optimizer.lrr=1"], "did you mean optimizer.lr?"),
    "a key in an experiment file": (
        ["train.py", "experiment=typo", "hydra.searchpath=[file://{tmp}]"],
        "unknown key 'optimizer.lrr' in the composed configuration; did you mean optimizer.lr?",
    ),
    "a mistyped experiment": (["train.py", "experiment=quikstart"], "got 'quikstart'; did you mean quickstart?"),
    "a mistyped option of a group": (["train.py", "model=toom"], "model: expected one of pixart_alpha, sd15, toon"),
    "no chapters": (["train.py", "data.root={tmp}/none"], "data.root: expected a folder, found none at {tmp}/none"),
    "no pages": (
        ["colorize.py", "pages={tmp}/none", "output={tmp}/out", "weights=toon"],
        "pages: expected a folder, found none at {tmp}/none",
    ),
    "no run": (["train.py", "data.root={tmp}", "resume={tmp}/none"], "resume: expected a run folder"),
    "no replay": (["train.py", "replay=none"], "replay: expected RUN_FOLDER/not_finite/step_..., got none"),
}


@pytest.mark.parametrize("case", AT_ONCE)
def test_it_answers_without_torch_and_leaves_nothing(case, tmp_path):
    (script, *overrides), expected = AT_ONCE[case]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "typo.yaml").write_text(TYPO)
    command = [sys.executable, "-c", PROBE, str(ROOT / script), *(item.format(tmp=tmp_path) for item in overrides)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert expected.format(tmp=tmp_path) in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["experiment"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer=5", "Config group override must be a string or a list"),
        ("~callbacks.nothing", "'callbacks.nothing' does not exist"),
        ("+seed=1", "An item is already at 'seed'"),
        ("seed=[1", "no viable alternative at input '[1'"),
        ("task=sd15", "task: expected one of base_unet, base_vae, codec, gsrp, icp, got 'sd15'"),
    ],
)
def test_what_hydra_says_is_one_line(override, expected):
    message = call_main(train, override)
    assert message is not None
    assert message.startswith("ConfigError: ")
    assert expected in message
    assert "\n" not in message


FAILED_STARTS = {
    "no weights": (train, [*TINY[2:], "model=toon", "weights={tmp}/none"]),
    "no chapters": (train, [*TINY, "data=chapters", "data.root={tmp}/given"]),
    "a job of a sweep": (train, ["-m", "seed=1,2", "data.root={tmp}/none"]),
    "no export to evaluate": (evaluate, ["weights={tmp}/given", "benchmark.root={tmp}/given", "output={tmp}/runs/out"]),
    "no export to color with": (colorize, ["pages={tmp}/given", "weights={tmp}/none", "output={tmp}/runs/out"]),
}


@pytest.mark.parametrize("start", FAILED_STARTS)
def test_a_start_that_fails_leaves_no_folder(start, tmp_path, toon_cache):
    module, overrides = FAILED_STARTS[start]
    (tmp_path / "given").mkdir()
    paths = [] if module is colorize else [f"paths.runs={tmp_path}/runs", f"paths.cache_dir={toon_cache}"]
    assert call_main(module, *(item.format(tmp=tmp_path) for item in overrides), *paths) not in (None, "0")
    assert list(tmp_path.rglob("*")) == [tmp_path / "given"]


def test_a_folder_that_was_there_stays(tmp_path):
    for name in ("empty", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "log.txt").write_text("of an earlier run\n")
    for name in ("empty", "run"):
        assert call_main(train, "data.root=nowhere", f"paths.run_dir={tmp_path / name}") is not None
    assert (tmp_path / "empty").is_dir()
    assert (tmp_path / "run" / "log.txt").read_text().startswith("of an earlier run\n")


@pytest.mark.parametrize(("given", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_wait_passively_unless_told_otherwise(given, expected):
    code = "import os, sys, colorflow; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "False"]
