"""data/build_shards.py as it is started: by torchrun and killed, by submitit; the shards of one process."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tiny.comics import write_chapters
from tiny.ranks import ROOT, torchrun

SCRIPT = str(ROOT / "data" / "build_shards.py")
CHAPTERS, PAGES = 24, 6


def given(source, output):
    return [f"source={source}", f"output={output}", "page_size=[32,48]", "samples_per_shard=12", "val_chapters=3"]


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_chapters(tmp_path_factory.mktemp("in"), CHAPTERS, PAGES)


@pytest.fixture(scope="module")
def straight(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    subprocess.run([sys.executable, SCRIPT, *given(source, folder / "out")], check=True, capture_output=True)
    return folder / "out"


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def wait_for(condition, process):
    limit = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.mark.slow
def test_a_process_of_torchrun_is_killed_and_the_same_command_goes_on(source, straight, tmp_path):
    partial = tmp_path / "out.partial"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    with open(tmp_path / "log", "w") as log:
        command = [*launcher, SCRIPT, *given(source, tmp_path / "out")]
        agent = subprocess.Popen(command, cwd=tmp_path, stderr=log, stdout=log)
        wait_for(lambda: len(list(partial.glob("train-*.tar"))) >= 2, agent)
        os.kill(children(agent.pid)[1], signal.SIGKILL)
        assert agent.wait(timeout=300) != 0
    assert not (tmp_path / "out").exists(), "it was killed in the middle"
    before = {path.name: path.stat().st_mtime_ns for path in partial.glob("*.tar")}
    done = torchrun(3, SCRIPT, *given(source, tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "page" in done.stderr, "the first process shows how far they are"
    assert files(tmp_path / "out") == files(straight)
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.slow
def test_submitit_starts_the_tasks_of_a_job(source, straight, tmp_path):
    """Through its local executor, which is started as SLURM's is."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2", "hydra.launcher.timeout_min=10"]
    command = [sys.executable, SCRIPT, "-m", *launcher, *given(source, tmp_path / "out")]
    command.append(f"hydra.sweep.dir={tmp_path / 'sweep'}")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert files(tmp_path / "out") == files(straight)
    assert len(list((tmp_path / "sweep" / ".submitit").rglob("*_log.out"))) == 2
    assert json.loads((tmp_path / "out" / "report.json").read_text())["files"] == CHAPTERS * PAGES
