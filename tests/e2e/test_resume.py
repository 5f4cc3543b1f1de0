"""Resuming is exact: a run that was stopped and went on is, bit for bit, the run that was not."""

import json

import pytest
import torch
from tiny.faults import assert_same_run, last, losses
from tiny.runs import QUIET, SMALLER, TINY, call_main, tiny_config

import train
from colorflow.data.chapters import DataError

RUN = (
    *SMALLER,
    "callbacks.sample_grid.pages=0",
    "callbacks.checkpoint.every_n_train_steps=1",
    "callbacks.ema.decay=0.9",
    "optimizer.lr=0.003",
    "lr_scheduler.num_warmup_steps=3",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "trainer.limit_val_batches=1",
    "task.validation_timesteps=[500]",
)
TWO_WORKERS = "data.datamodule.num_workers=2"
ACCUMULATE = "trainer.accumulate_grad_batches=2"
pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*not empty.*")


def run(cache, folder, *overrides):
    """A run, or a part of one, with everything made anew; its folder."""
    train.train(tiny_config(cache, folder, *RUN, *overrides))
    return folder


@pytest.fixture(scope="module")
def straight(toon_cache, tmp_path_factory):
    """Straight runs by their extra overrides, each made once."""
    made = {}

    def make(*overrides):
        if overrides not in made:
            made[overrides] = run(toon_cache, tmp_path_factory.mktemp("straight"), *overrides)
        return made[overrides]

    return make


def test_the_run_learns(straight):
    """What is compared below is not constant."""
    values = losses(straight())
    assert list(values) == [0, 1, 2, 3]
    assert len(set(values.values())) == 4
    early = torch.load(straight() / "checkpoints" / "step_0000002.ckpt", weights_only=True)
    late = last(straight())
    moved = [not torch.equal(value, early["state_dict"][name]) for name, value in late["state_dict"].items()]
    assert all(moved)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param((), id="plain", marks=pytest.mark.slow),  # as by the command line
        pytest.param((TWO_WORKERS,), id="workers"),
        pytest.param((ACCUMULATE,), id="accumulate", marks=pytest.mark.slow),  # as resumed twice
    ],
)
def test_a_resumed_run_equals_a_straight_one(toon_cache, tmp_path, straight, overrides):
    run(toon_cache, tmp_path, *overrides, "trainer.max_steps=2")
    run(toon_cache, tmp_path, *overrides, f"resume={tmp_path}")
    wanted = straight(*(item for item in overrides if item != TWO_WORKERS))  # workers change nothing
    assert_same_run(tmp_path, wanted)
    assert losses(tmp_path) == losses(wanted)
    assert losses(tmp_path, "val/loss") == losses(wanted, "val/loss")


def test_a_run_resumed_twice_equals_a_straight_one(toon_cache, tmp_path, straight):
    """The second part is stopped between two checkpoints, and after a checkpoint made in a resumed run."""
    often = "callbacks.checkpoint.every_n_train_steps=1"
    run(toon_cache, tmp_path, ACCUMULATE, often, "trainer.max_steps=1")
    rare = "callbacks.checkpoint.every_n_train_steps=2"
    run(toon_cache, tmp_path, ACCUMULATE, rare, "trainer.max_steps=3", f"resume={tmp_path}")
    assert last(tmp_path)["global_step"] == 2
    run(toon_cache, tmp_path, ACCUMULATE, often, f"resume={tmp_path}")
    assert_same_run(tmp_path, straight(ACCUMULATE))
    assert losses(tmp_path) == losses(straight(ACCUMULATE))


def test_resume_by_the_command_line(toon_cache, tmp_path, straight):
    common = ["experiment=icp_lora64", *TINY, *QUIET, *RUN, f"paths.runs={tmp_path}", f"paths.cache_dir={toon_cache}"]
    assert call_main(train, *common, "trainer.max_steps=2") is None
    (folder,) = (tmp_path / "icp_lora64").iterdir()
    first = (folder / "metrics.csv").read_text()
    assert call_main(train, *common, f"resume={folder}") is None
    assert list((tmp_path / "icp_lora64").iterdir()) == [folder]
    assert_same_run(folder, straight())
    assert [path.read_text() for path in folder.glob("metrics_until_*.csv")] == [first]
    assert losses(folder) == losses(straight())
    assert json.loads((folder / "run.json").read_text())["start_step"] == 0
    assert json.loads((folder / "run_0000002.json").read_text())["start_step"] == 2


@pytest.fixture(scope="module")
def one_step(toon_cache, tmp_path_factory):
    return run(toon_cache, tmp_path_factory.mktemp("one_step"), "trainer.max_steps=1", "validate_first=false")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("seed=1", DataError, "cannot resume at batch 1: seed was 0 and is 1"),
        ("data.datamodule.global_batch_size=1", DataError, "global_batch_size was 2 and is 1"),
        ("data.datamodule.source.pages=4", DataError, "cannot resume at batch 1: data was"),
        ("model.lora.r=3", ValueError, "of another shape"),
    ],
)
def test_another_run_is_refused(toon_cache, one_step, change, error, message):
    with pytest.raises(error, match=message):
        run(toon_cache, one_step, change, f"resume={one_step}")
