"""A run that is stopped by signals, killed, and started again by the same command is the run that was not."""

import random
import signal
from types import SimpleNamespace

import pytest
from tiny.faults import LEAN, Fault, Struck, assert_same_run, fit, last, losses, samples, send
from tiny.runs import tiny_config

from colorflow.callbacks import preemption
from colorflow.callbacks.preemption import STATUS, Preempted

STEPS = 12
RUN = (*LEAN, f"trainer.max_steps={STEPS}")
pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*not empty.*")


def crash():
    raise Struck


@pytest.fixture(scope="module")
def straight(toon_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    fit(tiny_config(toon_cache, folder, *RUN), Fault(folder))
    assert list(samples(folder)) == list(losses(folder)) == list(range(STEPS))
    return folder


def test_a_run_stopped_five_times_equals_a_straight_one(toon_cache, tmp_path, straight):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    stops = sorted(random.Random(7).sample(range(1, STEPS - 1), 5))
    for step, strike in zip(stops, ["SIGTERM", "SIGUSR1", None, "SIGUSR2", "SIGTERM"], strict=True):
        fault = Fault(tmp_path, step, strike=send(strike) if strike else crash)
        with pytest.raises(Preempted if strike else Struck) as ended:
            fit(tiny_config(toon_cache, tmp_path, *RUN), fault)
        if strike:
            assert ended.value.code == STATUS
            assert last(tmp_path)["global_step"] == step + 1, "the step under way is finished, no other is begun"
    fit(tiny_config(toon_cache, tmp_path, *RUN), Fault(tmp_path))
    assert_same_run(tmp_path, straight)
    assert losses(tmp_path) == losses(straight)
    assert samples(tmp_path) == samples(straight)
    assert {number: signal.getsignal(number) for number in before} == before


def test_processes_that_would_train_different_steps_are_refused(monkeypatch):
    """As on nodes of which one does not see the checkpoint."""

    def gather(places, mine, group):
        places[:] = [mine, ("runs/a", 100)]

    monkeypatch.setattr(preemption.dist, "all_gather_object", gather)
    guard = preemption.Preemption("last.ckpt")
    guard._compare_places(SimpleNamespace(world_size=2, default_root_dir="runs/a", global_step=100))
    with pytest.raises(RuntimeError, match=r"expected all processes at one step of one run folder, got .*'runs/a', 0"):
        guard._compare_places(SimpleNamespace(world_size=2, default_root_dir="runs/a", global_step=0))
