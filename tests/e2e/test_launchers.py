"""Who starts a training starts it again: the sbatch script, submitit, torchrun; and what SLURM's signals hit."""

import os
import signal
import subprocess
import sys
import time

import pytest
from tiny.faults import LEAN, Fault, assert_same_run, fit, losses, samples
from tiny.ranks import ROOT, torchrun
from tiny.runs import QUIET, TINY, column, tiny_config

from colorflow.callbacks.preemption import STATUS

STEPS = 40
RUN = (*LEAN, "callbacks.checkpoint.every_n_train_steps=10", f"trainer.max_steps={STEPS}")
SBATCH = ROOT / "cluster" / "train.sbatch"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Stand-ins for SLURM's commands: ``srun`` runs ``$SRUN``, ``scontrol`` writes down what it was asked."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    commands = {"srun": 'echo "$@" >> srun.txt; eval "$SRUN"', "scontrol": 'echo "$@" >> scontrol.txt'}
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{line}\n")
        (tmp_path / name).chmod(0o755)
    job = {"JOB_ID": "77", "JOB_NAME": "colorflow", "NTASKS_PER_NODE": "8", "JOB_NUM_NODES": "2"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)

    def submit(srun, *arguments):
        monkeypatch.setenv("SRUN", srun)
        done = subprocess.run(["bash", str(SBATCH), *arguments], cwd=tmp_path, check=False, capture_output=True)
        return done.returncode

    return submit


@pytest.mark.parametrize(("status", "requeued"), [(0, False), (1, False), (137, False), (STATUS, True)])
def test_the_sbatch_script_requeues_what_was_stopped_and_saved(cluster, tmp_path, status, requeued):
    assert cluster(f"exit {status}", "experiment=icp_lora64", "data.root=a folder") == status
    asked = tmp_path / "scontrol.txt"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 77\n" if requeued else "")
    assert (tmp_path / "srun.txt").read_text() == (
        "--kill-on-bad-exit=1 python train.py paths.run_dir=runs/colorflow/77 trainer.devices=8 trainer.num_nodes=2 "
        "experiment=icp_lora64 data.root=a folder\n"
    )


def test_the_sbatch_options_are_those_that_the_training_needs():
    options = [line.split()[1] for line in SBATCH.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--requeue", "--open-mode=append", "--signal=USR1@300"} <= set(options)
    assert len(options) == len({option.partition("=")[0] for option in options})


def overrides(cache, folder, *more):
    return ["experiment=icp_lora64", *TINY, *QUIET, *RUN, f"paths.cache_dir={cache}", f"paths.run_dir={folder}", *more]


def wait_for_steps(folder, process, count=4):
    """Until a training that was just started in another process has logged some steps."""
    log, began, limit = folder / "metrics.csv", time.time(), time.monotonic() + 300
    while time.monotonic() < limit:
        if log.exists() and log.stat().st_mtime > began and len(column(log, "train/loss")) >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no step was logged")


@pytest.fixture(scope="module")
def straight(toon_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    fit(tiny_config(toon_cache, folder, *RUN), Fault(folder))
    return folder


@pytest.mark.slow
def test_a_signal_to_all_processes_of_a_job_hits_no_worker(toon_cache, tmp_path, straight):
    """As SLURM sends it: to the training and to its loader's workers at once; then SIGKILL; then to the end."""
    command = [sys.executable, str(ROOT / "train.py"), *overrides(toon_cache, tmp_path)]
    command.append("data.datamodule.num_workers=2")
    for number, status in ((signal.SIGUSR1, STATUS), (signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, STATUS)):
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for_steps(tmp_path, process)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=120)[1].decode()
        assert process.returncode == status, said[-3000:]
        assert "Traceback" not in said
    subprocess.run(command, check=True, capture_output=True)
    assert_same_run(tmp_path, straight)
    assert losses(tmp_path) == losses(straight)


@pytest.mark.slow
def test_submitit_requeues_a_stopped_job_and_it_goes_on(toon_cache, tmp_path, straight):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    given = [*overrides(toon_cache, "unused")[:-1], f"paths.runs={tmp_path}", "hydra/launcher=submitit_local"]
    command = [sys.executable, str(ROOT / "train.py"), "-m", *given, f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    command.append("hydra.launcher.timeout_min=10")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    wait_for_steps(tmp_path / "sweep" / "0", process)
    controller = next(path.name.split("_")[0] for path in (tmp_path / "sweep" / ".submitit").rglob("*_submitted.pkl"))
    with open(f"/proc/{controller}/task/{controller}/children") as children:
        job = int(children.read().split()[0])
    os.kill(job, signal.SIGUSR2)
    said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    logs = "".join(path.read_text() for path in (tmp_path / "sweep" / ".submitit").rglob("*.err"))
    logs += "".join(path.read_text() for path in (tmp_path / "sweep" / ".submitit").rglob("*.out"))
    assert "Requeued job" in logs
    folder = tmp_path / "sweep" / "0"
    assert list(folder.glob("metrics_until_*.csv")), "it was stopped in the middle"
    assert_same_run(folder, straight)
    assert losses(folder) == losses(straight)


@pytest.mark.slow
def test_under_torchrun_the_same_command_goes_on(toon_cache, tmp_path):
    script = str(ROOT / "tests" / "tiny" / "faults.py")
    four = ("trainer.devices=4", "trainer.strategy=ddp", "data.datamodule.global_batch_size=4", "trainer.max_steps=6")
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    for folder in (straight, stopped):
        folder.mkdir()
    given = overrides(toon_cache, straight, *four)
    done = torchrun(4, script, str(straight), "none", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    given = overrides(toon_cache, stopped, *four)
    done = torchrun(4, script, str(stopped), "SIGTERM@1:2", *given, cwd=tmp_path)
    assert done.returncode != 0
    assert "stopped after step 3" in done.stdout + done.stderr
    done = torchrun(4, script, str(stopped), "none", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert samples(stopped, 4) == samples(straight, 4)
    assert losses(stopped) == pytest.approx(losses(straight), rel=1e-6)  # sums of four have an order
