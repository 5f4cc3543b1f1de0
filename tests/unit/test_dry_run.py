"""What a dry run counts: arithmetic, memory, and the days that follow from them."""

import functools

import pytest
import torch
from tiny.models import sd15_on_meta, tiny_base, tiny_model
from tiny.runs import batch_of, loader, trainer
from torch.utils.flop_counter import FlopCounterMode

from colorflow.callbacks.step_watch import StepWatch
from colorflow.diffusion.objective import DiffusionObjective
from colorflow.schema import ColorizationBatch
from colorflow.tasks.dry_run import Projection, StepCosts, cost_rows, memory_estimate
from colorflow.tasks.icp_task import ICPTask

pytestmark = pytest.mark.filterwarnings("ignore:.*self.log.*", "ignore:.*num_workers.*", "ignore:.*eval mode.*")


def new_task():
    return ICPTask(tiny_model(base=tiny_base()), DiffusionObjective(), functools.partial(torch.optim.AdamW, lr=1e-3))


def costs_of(*numbers):
    task, costs = new_task(), StepCosts()
    trainer(max_steps=1, callbacks=[costs]).fit(task, loader(batch_of(*numbers)))
    return task, costs


def test_a_step_is_counted_by_the_sample():
    task = new_task()
    with FlopCounterMode(display=False) as counter:
        task.training_step(batch_of(1), 0).backward()
    _, one = costs_of(1)
    _, three = costs_of(1, 2, 3)
    assert one.flops == counter.get_total_flops() > 0
    assert three.flops == 3 * one.flops
    assert (one.samples, three.samples) == (1, 3)


@pytest.mark.parametrize("peak", [None, 0.5])
def test_a_training_logs_the_share_of_a_known_peak_that_its_arithmetic_is(peak):
    task, run = new_task(), trainer(max_steps=2, log_every_n_steps=1, callbacks=[StepWatch(peak_tflops=peak)])
    run.fit(task, loader(batch_of(1, 2), batch_of(3)))
    logged = run.callback_metrics
    assert ("watch/mfu" in logged) is (peak is not None)  # nobody knows a CPU's
    if peak is not None:
        _, costs = costs_of(1)
        expected = logged["watch/samples_per_second"] * costs.flops / 0.5e12
        assert logged["watch/mfu"] == pytest.approx(expected.item(), rel=1e-5)


def test_the_peak_grows_with_the_batch_and_holds_the_gradients():
    task, small = costs_of(*range(8))
    _, large = costs_of(*range(16))
    gradients = memory_estimate(task, ema=False)["gradients"]
    assert small.peak > gradients
    assert 1.5 * small.peak < large.peak < 2.1 * small.peak


def test_rows_add_up():
    task, costs = costs_of(1, 2)
    memory = memory_estimate(task, ema=True)
    costs.flops, costs.peak = 20 * 10**12, 10 * 10**9
    rows = dict(cost_rows(memory, costs, 150_000 * 64, Projection("A100", 8, 0.5)))
    assert rows["activations with gradients"].startswith("10.00 GB at 2 samples")
    assert rows["arithmetic"] == "10 TFLOP a sample, forward and backward"
    assert rows["in all"].startswith(f"{(sum(memory.values()) - memory['gradients'] + 10e9) / 1e9:.2f} GB")
    assert rows["the whole training"] == "0.89 days on 8 x A100 at 50% of dense bf16"  # 9.6e19 / 1.248e15 / 86400
    assert rows["largest batch there"] == "15 samples a device"


@pytest.mark.parametrize(
    ("values", "message"),
    [({"gpu": "H2000"}, "expected one of A100, H100, H200"), ({"mfu": 1.5}, "mfu in"), ({"devices": 0}, "got 0 and")],
)
def test_impossible_projections_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Projection(**values)


def test_a_speed_may_stand_for_a_gpu():
    projection = Projection(100.0, 1, 1.0)
    assert projection.days(100e12 * 86400) == pytest.approx(1)
    assert projection.memory is None


@pytest.mark.slow
def test_the_paper_s_step_has_the_arithmetic_that_its_experiment_states():
    """On meta tensors: 7.26 T for U-Net and guider (configs/experiment/icp_lora64.yaml), and the VAE's encodes."""
    task = ICPTask(sd15_on_meta.__wrapped__(), DiffusionObjective(), functools.partial(torch.optim.AdamW, lr=1e-3))
    task.to("meta")
    pictures = torch.empty(1, 3, 800, 512, device="meta")
    batch = ColorizationBatch(
        pictures, pictures, torch.empty(1, 1, 800, 512, device="meta"), page_ids=("page",), seeds=(1,)
    )
    with FlopCounterMode(display=False) as counter:
        task.training_step(batch, 0).backward()
    encodes = round((counter.get_total_flops() / 1e12 - 7.263) / 1.775)
    assert encodes == 2
    assert counter.get_total_flops() / 1e12 == pytest.approx(7.263 + encodes * 1.775, rel=2e-3)
