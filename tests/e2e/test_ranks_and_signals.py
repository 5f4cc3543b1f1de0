"""Four, two and one process train the same; one of two is stopped or killed in the middle of a step."""

import signal

import pytest
from tiny.faults import LEAN, assert_same_run, last, losses, rank_trainer, samples, send

from colorflow.callbacks.preemption import STATUS

STEPS = 6
RUN = (
    *LEAN,
    "callbacks.checkpoint.every_n_train_steps=2",
    "data.datamodule.global_batch_size=4",
    "optimizer._target_=torch.optim.SGD",
    "~optimizer.betas",
    "+optimizer.momentum=0.9",
    "optimizer.lr=0.05",
    f"trainer.max_steps={STEPS}",
)
TOLERANCE = 1e-6
"""Relative, of a loss: convolutions of fewer samples, and another order of sums, in float32. Seen: 1e-7."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*fork.*"),
]


@pytest.fixture(scope="module")
def train_ranks(toon_cache, tmp_path_factory):
    return rank_trainer(toon_cache, tmp_path_factory, RUN)


@pytest.fixture(scope="module")
def straight(train_ranks, tmp_path_factory):
    folders = {world: tmp_path_factory.mktemp(f"ranks{world}") for world in (1, 2, 4)}
    for world, folder in folders.items():
        assert train_ranks(world, folder) == [0] * world
    return folders


def test_samples_and_losses_are_the_same_on_any_number_of_processes(straight):
    one, *others = [samples(folder, world) for world, folder in straight.items()]
    assert list(one) == list(range(STEPS))
    assert others == [one, one]
    one, *others = [losses(folder) for folder in straight.values()]
    assert len(one) == STEPS
    assert len(set(one.values())) == STEPS
    for other in others:
        assert other == pytest.approx(one, rel=TOLERANCE)


def test_one_of_two_is_asked_to_end_and_both_stop_after_the_same_step(train_ranks, tmp_path, straight):
    assert train_ranks(2, tmp_path, step=1, rank=1, strike=send("SIGTERM")) == [STATUS, 0]
    assert last(tmp_path)["global_step"] == 3, "one step later: they ask each other ahead, so that nobody waits"
    assert train_ranks(2, tmp_path) == [0, 0]
    assert samples(tmp_path, 2) == samples(straight[2], 2)
    assert losses(tmp_path) == losses(straight[2])
    assert_same_run(tmp_path, straight[2])


def test_one_of_two_dies_and_the_other_does_not_wait_for_it(train_ranks, tmp_path, straight):
    statuses = train_ranks(2, tmp_path, step=3, rank=1, strike=send("SIGKILL"))
    assert statuses[1] == -signal.SIGKILL
    assert statuses[0] not in (0, STATUS)
    assert last(tmp_path)["global_step"] == 2
    assert train_ranks(2, tmp_path) == [0, 0]
    assert losses(tmp_path) == losses(straight[2])
    assert_same_run(tmp_path, straight[2])
