"""Moments divided over two processes: the same training, in half of the memory each."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tiny.faults import LEAN, assert_equal, assert_same_run, last, losses, rank_trainer, send
from torch.distributed.optim import ZeroRedundancyOptimizer

from colorflow.callbacks.preemption import STATUS

RUN = (
    *LEAN,
    "callbacks.checkpoint.every_n_train_steps=2",
    "data.datamodule.global_batch_size=2",
    "trainer.max_steps=4",
)
ZERO = "optimizer=adamw_zero1"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*fork.*"),
]


class Moments(Callback):
    """Writes down how many moments of AdamW a process holds."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, pl_module):
        (optimizer,) = trainer.optimizers
        assert isinstance(optimizer, ZeroRedundancyOptimizer)
        held = sum(state["exp_avg"].numel() for state in optimizer.optim.state.values())
        of = sum(parameter.numel() for parameter in pl_module.trainable().values())
        (self.folder / f"held_{trainer.global_rank}").write_text(f"{held} {of}")


@pytest.fixture(scope="module")
def train_ranks(toon_cache, tmp_path_factory):
    return rank_trainer(toon_cache, tmp_path_factory, RUN)


@pytest.fixture(scope="module")
def divided(train_ranks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    assert train_ranks(2, folder, ZERO, callback=Moments(folder)) == [0, 0]
    return folder


def test_the_training_is_that_of_adamw_bit_for_bit_in_half_of_the_memory(train_ranks, tmp_path, divided):
    assert train_ranks(2, tmp_path) == [0, 0]
    assert len(losses(tmp_path)) == 4
    assert losses(tmp_path) == losses(divided)
    assert_equal(last(tmp_path)["state_dict"], last(divided)["state_dict"])
    held, of = zip(*(map(int, (divided / f"held_{rank}").read_text().split()) for rank in (0, 1)), strict=True)
    assert of[0] == of[1] == sum(held)
    assert max(held) < 0.6 * of[0]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(train_ranks, tmp_path, divided):
    assert train_ranks(2, tmp_path, ZERO, step=1, rank=1, strike=send("SIGTERM")) == [STATUS, 0]
    assert train_ranks(2, tmp_path, ZERO) == [0, 0]
    assert losses(tmp_path) == losses(divided)
    assert_same_run(tmp_path, divided)


def test_a_run_goes_on_with_one_process(train_ranks, tmp_path, divided):
    assert train_ranks(2, tmp_path, ZERO, step=1, rank=1, strike=send("SIGTERM")) == [STATUS, 0]
    assert train_ranks(1, tmp_path, ZERO) == [0]
    assert losses(tmp_path) == pytest.approx(losses(divided), rel=1e-4)
    moments = [last(folder)["optimizer_states"][0]["state"] for folder in (tmp_path, divided)]
    assert moments[0].keys() == moments[1].keys()
    for one, two in zip(*(state.values() for state in moments), strict=True):
        torch.testing.assert_close(one["exp_avg"], two["exp_avg"], rtol=1e-2, atol=1e-6)
