"""What may happen while a checkpoint is written: a full disk, a signal, a kill. The one before it stays whole."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from tiny.faults import LEAN, Fault, assert_same_run, fit, last, losses, send
from tiny.runs import tiny_config

from colorflow.callbacks import checkpoint
from colorflow.callbacks.preemption import Preempted

STEPS = 12
RUN = (*LEAN, f"trainer.max_steps={STEPS}")  # saves every third step
pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*fork.*")


def limit_files(size):
    """As a full disk or a used-up quota: files cannot grow beyond some bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def saving(at_step, strike):
    """Patch: the checkpoint of a step is written half, then something happens, then the rest."""
    save = torch.save

    def save_and_strike(content, file):
        if content["global_step"] == at_step:
            file.write(b"half of it")
            file.flush()
            strike()
            file.seek(0)
        save(content, file)

    return mock.patch.object(checkpoint.torch, "save", save_and_strike)


def fit_and_be_killed(cache, folder):
    with saving(9, send("SIGKILL")):
        fit(tiny_config(Path(cache), Path(folder), *RUN), Fault(Path(folder)))


def test_nothing_is_lost_by_what_happens_while_a_checkpoint_is_written(toon_cache, tmp_path):
    folder, straight = tmp_path / "run", tmp_path / "straight"
    fit(tiny_config(toon_cache, straight, *RUN), Fault(straight))
    names = {path.name for path in (straight / "checkpoints").iterdir()}
    cfg = tiny_config(toon_cache, folder, *RUN)

    try:
        with pytest.raises(OSError, match=r"step_0000006\.ckpt: cannot be written.*resume=RUN_FOLDER") as full:
            fit(cfg, Fault(folder, 4, strike=lambda: limit_files(200_000)))
    finally:
        limit_files(resource.RLIM_INFINITY)
    assert "\n" not in str(full.value)
    assert last(folder)["global_step"] == 3
    assert len(list((folder / "checkpoints").iterdir())) == 2, "no half of a file is left on a full disk"

    with saving(6, send("SIGTERM")), pytest.raises(Preempted):
        fit(cfg, Fault(folder))
    assert last(folder)["global_step"] == 6

    # a process of its own, not a fork: torch has no gradients in one, where a test before this used autograd's threads
    script = f"import {__name__} as tests; tests.fit_and_be_killed({str(toon_cache)!r}, {str(folder)!r})"
    path = os.pathsep.join(sys.path)
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert last(folder)["global_step"] == 6
    assert [path.name for path in (folder / "checkpoints").glob(".*")], "the kill has left a part of a file"

    fit(cfg, Fault(folder))
    assert_same_run(folder, straight)
    assert losses(folder) == losses(straight)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == names
    assert os.path.getsize(folder / "checkpoints" / "last.ckpt") > 200_000
