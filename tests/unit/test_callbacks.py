"""Averaging against its formula, averaged weights in the right places, the guard, checkpoints, records."""

import functools
import json
import math
import re
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tiny.models import PAGE_SIZE, tiny_base, tiny_model
from tiny.runs import QUIET, SMALLER, batch_of, loader, tiny_config, trainer

from colorflow import config
from colorflow.callbacks.checkpoint import Checkpoint
from colorflow.callbacks.ema import EMA, averaged_weights
from colorflow.callbacks.export import Export
from colorflow.callbacks.nan_guard import NaNGuard, NonFiniteLossError, write_step
from colorflow.callbacks.replay import replay_step
from colorflow.callbacks.run_record import RunRecord
from colorflow.diffusion.objective import DiffusionObjective
from colorflow.pipelines.export import load_export
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.tasks.icp_task import ICPTask

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*val_dataloader.*", "ignore:.*exists and is not empty.*"
)
BATCHES = [batch_of(2 * number, 2 * number + 1) for number in range(9)]


def new_task():
    """Learning fast, so that the average is far from the weights."""
    model = tiny_model(base=tiny_base())
    return ICPTask(model, DiffusionObjective(), functools.partial(torch.optim.SGD, lr=0.5), validation_timesteps=(500,))


def copies(task):
    return [value.detach().clone() for value in task.trainable().values()]


def same(one, other):
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


class Spy(Callback):
    """Keeps the weights after every batch, and at validation those that validation sees and those after it."""

    def __init__(self):
        self.steps, self.weights = [], []
        self.during, self.after = [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.steps.append(trainer.global_step)
        self.weights.append(copies(pl_module))

    def on_validation_batch_end(self, trainer, pl_module, *_):
        self.during.append(copies(pl_module))

    def on_train_batch_start(self, trainer, pl_module, *_):
        self.after.append(copies(pl_module))


def fit(callbacks, steps, start=0, checkpoint=None, accumulate=1, **options):
    task = new_task()
    fitting = trainer(max_steps=steps, callbacks=callbacks, accumulate_grad_batches=accumulate, **options)
    fitting.fit(task, loader(*BATCHES[start * accumulate :]), options.get("val"), ckpt_path=checkpoint)
    return task, fitting


def reference_average(start, weights, decay):
    """Shadow weights after each update, as `EMA` documents them: decay min(decay, (1 + step) / (10 + step))."""
    shadow = [value.double() for value in start]
    for step, current in enumerate(weights):
        rate = min(decay, (1 + step) / (10 + step)) if step else 0.0
        shadow = [rate * old + (1 - rate) * new.double() for old, new in zip(shadow, current, strict=True)]
    return shadow


@pytest.mark.parametrize("decay", [0.15, 0.9999])
@pytest.mark.parametrize(("accumulate", "every"), [(1, 1), (2, 1), (1, 2)])
def test_the_average_is_its_formula(decay, accumulate, every):
    ema, spy = EMA(decay, every), Spy()
    fit([ema, spy], steps=4, accumulate=accumulate)
    # Weights after each optimizer step; with accumulation several batches end at one step count.
    after = {step: weights for step, weights in zip(spy.steps, spy.weights, strict=True) if step}
    wanted = reference_average(copies(new_task()), [after[step] for step in range(every, 5, every)], decay)
    assert ema.model.optimization_step == 4 // every
    for got, reference in zip(ema.model.shadow_params, wanted, strict=True):
        torch.testing.assert_close(got.double(), reference, rtol=1e-5, atol=1e-7)
    assert not same(ema.model.shadow_params, after[4])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_and_its_counter_survive_a_resume(tmp_path, accumulate):
    straight = EMA(0.9)
    fit([straight], steps=4, accumulate=accumulate)
    _, stopped = fit([EMA(0.9)], steps=2, accumulate=accumulate)
    stopped.save_checkpoint(tmp_path / "last.ckpt")
    resumed = EMA(0.9)
    fit([resumed], 4, start=2, checkpoint=tmp_path / "last.ckpt", accumulate=accumulate)
    assert resumed.model.optimization_step == straight.model.optimization_step == 4
    assert same(resumed.model.shadow_params, straight.model.shadow_params)


def test_validation_sees_the_average_and_training_does_not():
    ema, spy = EMA(0.9), Spy()
    task = new_task()
    fitting = trainer(max_steps=4, callbacks=[ema, spy], val_check_interval=3, check_val_every_n_epoch=None)
    fitting.fit(task, loader(*BATCHES), loader(batch_of(50)))
    at_three = reference_average(copies(new_task()), spy.weights[:3], 0.9)
    seen = spy.during[-1]  # the first is the sanity check's
    for got, wanted in zip(seen, at_three, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-7)
    assert not same(seen, spy.weights[2])
    assert same(spy.after[3], spy.weights[2])
    assert same(copies(task), spy.weights[3])


def test_the_weights_come_back_after_an_error():
    ema = EMA(0.9)
    task, fitting = fit([ema], steps=3)
    before = copies(task)
    swapped = averaged_weights(fitting, task)
    swapped.__enter__()
    assert same(copies(task), ema.model.shadow_params)
    error = KeyError("in the block")
    assert not swapped.__exit__(KeyError, error, None)
    assert same(copies(task), before)


def test_the_export_is_the_average_and_the_checkpoint_is_not(tmp_path):
    ema = EMA(0.9)
    saving = Checkpoint(tmp_path / "checkpoints", every_n_train_steps=2, save_last=True)
    export = Export(str(tmp_path / "export"), PAGE_SIZE, RetrievalSettings("hog"))
    task, _ = fit([ema, saving, export], steps=4, enable_checkpointing=True)
    exported = load_export(tmp_path / "export").model.state_dict()
    average = dict(zip(task.trainable(), ema.model.shadow_params, strict=True))
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, weights in task.trainable().items():
        assert torch.equal(exported[name.removeprefix("model.")], average[name])
        assert torch.equal(saved[name], weights)
    assert not same(average.values(), list(saved.values()))


def test_the_sample_grid_shows_the_average(toon_cache, tmp_path, monkeypatch):
    """With the callbacks in the order of configs/callbacks/default.yaml."""
    cfg = tiny_config(
        toon_cache,
        tmp_path,
        *SMALLER,
        "trainer.max_steps=3",
        "trainer.val_check_interval=3",
        "trainer.limit_val_batches=1",
        "optimizer.lr=0.01",
        "lr_scheduler.num_warmup_steps=0",
        "callbacks.sample_grid={pages:1,num_inference_steps:1}",
        "callbacks.ema.decay=0.9",
    )
    callbacks = config.build(cfg.callbacks)
    drawn, shadows = [], []
    task = config.build(cfg.task)
    preview = task.preview

    def spying(batch, sampling):
        drawn.append(copies(task))
        shadows.append([value.clone() for value in callbacks["ema"].model.shadow_params])
        return preview(batch, sampling)

    monkeypatch.setattr(task, "preview", spying)
    fitting = config.build(
        cfg.trainer, callbacks=list(callbacks.values()), logger=list(config.build(cfg.logger).values())
    )
    fitting.fit(task, datamodule=config.build(cfg.data.datamodule))
    assert len(drawn) == 1
    assert same(drawn[0], shadows[0])
    assert not same(drawn[0], copies(task))
    assert (tmp_path / "samples" / "step_0000003.png").is_file()


def stopped_at_nan(folder, accumulate=1):
    """A run that saves every step and stops in its second one."""
    bad = batch_of(4, 5)
    bad.target[1, 0, 0, 0] = math.nan
    saving = Checkpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    guard = NaNGuard(str(folder / "not_finite"))
    fitting = trainer(
        max_steps=3, callbacks=[saving, guard], enable_checkpointing=True, accumulate_grad_batches=accumulate
    )
    whole = [batch_of(number) for number in range(4)]
    batches = [*whole[:accumulate], *whole[: accumulate - 1], bad, batch_of(2)]
    with pytest.raises(NonFiniteLossError) as caught:
        fitting.fit(new_task(), loader(*batches))
    return str(caught.value)


def test_a_loss_that_is_no_number_stops_the_run_before_its_update(tmp_path):
    message = stopped_at_nan(tmp_path)
    assert re.search(r"loss is nan .*at step 1, .*pages: chapter/4, chapter/5\. The step was not taken", message)
    assert "\n" not in message
    assert {path.name for path in tmp_path.iterdir()} == {"step=1.ckpt", "not_finite"}
    before = torch.load(tmp_path / "step=1.ckpt", weights_only=True)["state_dict"]
    kept = torch.load(tmp_path / "not_finite" / "step_0000001" / "weights.pt", weights_only=True)
    assert kept.keys() == before.keys()
    assert same(kept.values(), before.values())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_stopped_step_is_done_again_and_its_sample_found(tmp_path, accumulate):
    stopped_at_nan(tmp_path, accumulate)
    *whole, bad, first, second = replay_step(new_task(), tmp_path / "not_finite" / "step_0000001")
    assert len(whole) == accumulate - 1
    assert all(item.source is None and item.loss == item.then for item in whole)
    assert math.isnan(bad.loss)
    assert math.isnan(bad.then)
    assert (first.page_ids, first.source) == (("chapter/4",), None)
    assert math.isfinite(first.loss)
    assert (second.page_ids, second.source) == (("chapter/5",), "batch.target")


def test_doing_a_step_again_gives_its_loss_and_names_the_module_that_overflows(tmp_path):
    task = new_task()
    batch = batch_of(1, 2)
    with torch.no_grad():
        for parameter in task.trainable().values():
            parameter.mul_(1.5)
    loss = task.training_step(batch, 0)
    write_step(tmp_path, 0, task, [batch], [loss.detach()])
    (again,) = replay_step(new_task(), tmp_path)
    assert again.loss == again.then == float(loss)
    name, weight = next(
        (name, value) for name, value in task.trainable().items() if "guider" in name and value.dim() == 4
    )
    with torch.no_grad():
        weight.fill_(math.inf)
    write_step(tmp_path, 0, task, [batch], [loss.detach()])
    assert {item.source for item in replay_step(new_task(), tmp_path)} == {name.removesuffix(".weight")}


def test_a_folder_without_a_step_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"replay: expected weights\.pt and rank_0\.pt"):
        replay_step(new_task(), tmp_path)


def test_no_checkpoint_in_the_middle_of_an_accumulated_step(tmp_path):
    """Lightning's own callback saves once more at the first batch after a resume."""
    saving = functools.partial(Checkpoint, tmp_path, every_n_train_steps=1, save_last=True, filename="{step}")
    fit([saving()], steps=2, accumulate=2, enable_checkpointing=True)
    first = torch.load(tmp_path / "last.ckpt", weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    moments = []

    class Killed(Callback):
        def on_train_batch_end(self, trainer, *_):
            saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
            moments.append((trainer.global_step, saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]))

    # The guard runs before the checkpoint of its batch, so that the second batch shows what the first one wrote.
    fit([Killed(), saving()], 3, start=2, checkpoint=tmp_path / "last.ckpt", accumulate=2, enable_checkpointing=True)
    assert [step for step, _ in moments] == [2, 3]
    assert moments[1][1] == first


def test_the_record_says_what_the_run_is(tmp_path):
    task, _ = fit([RunRecord(str(tmp_path), seed=7)], steps=1)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["seed"] == 7
    assert record["start_step"] == 0
    assert record["devices"] == 1
    assert record["trained_parameters"] == sum(value.numel() for value in task.trainable().values())
    assert record["packages"]["lightning"] == lightning.__version__
    assert record["command"]


def test_quiet_runs_leave_out_the_bar_alone(tmp_path):
    loud, quiet = (config.compose_config("train", ["data.root=x", *more]).callbacks for more in ((), QUIET[:1]))
    assert loud.keys() - quiet.keys() == {"progress_bar"}


def test_other_processes_wait_for_the_export(tmp_path):
    """A run that follows reads the folder in every process; the first alone writes it."""
    waited = []
    trainer = SimpleNamespace(is_global_zero=False, strategy=SimpleNamespace(barrier=waited.append))
    Export(str(tmp_path / "export"), PAGE_SIZE, RetrievalSettings("hog")).on_train_end(trainer, None)
    assert waited == ["export"]
    assert not (tmp_path / "export").exists()
