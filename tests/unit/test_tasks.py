"""The training steps: what is trained, what is saved, and losses against their formulas written out."""

import functools
import math
from dataclasses import replace

import pytest
import torch
from tiny.models import tiny_base, tiny_model
from tiny.runs import batch_of, loader, trainer

from colorflow.diffusion.noise import draw_noise
from colorflow.diffusion.objective import DiffusionObjective, regression_target
from colorflow.tasks.base_task import BaseTask
from colorflow.tasks.dry_run import memory_estimate
from colorflow.tasks.icp_task import ICPTask
from colorflow.tasks.vae_task import VAETask

pytestmark = pytest.mark.filterwarnings("ignore:.*self.log.*", "ignore:.*num_workers.*", "ignore:.*eval mode.*")

SGD = functools.partial(torch.optim.SGD, lr=0.1)


def icp_task(prediction_type="epsilon", optimizer=SGD, trained=True, **objective):
    model = tiny_model(trained=trained, base=tiny_base(prediction_type=prediction_type))
    return ICPTask(model, DiffusionObjective(**objective), optimizer)


def step(task, batch):
    optimizer = task.configure_optimizers()
    task.train()
    loss = task.training_step(batch, 0)
    loss.backward()
    optimizer.step()
    return loss.item()


def copies(task):
    return {name: value.detach().clone() for name, value in task.state_dict().items()}


def test_guider_and_lora_are_trained_and_nothing_else():
    task = icp_task()
    assert {"guider." if "guider." in name else "lora" for name in task.trainable()} == {"guider.", "lora"}
    held = {id(item) for group in task.configure_optimizers().param_groups for item in group["params"]}
    assert held == {id(item) for item in task.trainable().values()}
    before = copies(task)
    step(task, batch_of(1, 2))
    changed = {name for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    assert changed <= task.trainable().keys()
    silent = {name for name, value in task.trainable().items() if value.grad is None}
    assert not silent, f"no gradient reaches {sorted(silent)[:3]}: DDP would stop"
    assert any("lora_" in name for name in changed)
    assert any("guider.conv_in" in name for name in changed)


def test_a_checkpoint_holds_what_is_trained(tmp_path):
    task = icp_task()
    fitting = trainer(max_steps=1)
    fitting.fit(task, loader(batch_of(1, 2)))
    fitting.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert saved.keys() == task.trainable().keys()
    other = icp_task(trained=False)
    frozen = {name: value for name, value in copies(other).items() if name not in saved}
    trainer(max_steps=1).fit(other, loader(batch_of(1, 2)), ckpt_path=tmp_path / "last.ckpt")
    assert all(torch.equal(other.state_dict()[name], value) for name, value in saved.items())
    assert all(torch.equal(other.state_dict()[name], value) for name, value in frozen.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.popitem(), "1 missing"),
        (lambda saved: saved.update({"model.other": torch.zeros(1)}), "1 unexpected .first: model.other.,"),
        (lambda saved: saved.update({next(iter(saved)): torch.zeros(1)}), "1 of another shape"),
    ],
)
def test_a_foreign_checkpoint_is_refused(change, message):
    task = icp_task()
    saved = dict(task.trainable())
    task.on_load_checkpoint({"state_dict": dict(saved)})
    change(saved)
    with pytest.raises(ValueError, match=message):
        task.on_load_checkpoint({"state_dict": saved})


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("snr_gamma", [None, 5.0])
def test_the_loss_is_its_formula(prediction_type, snr_gamma):
    """Eq. 4 with Eq. 5's timesteps, and min-SNR weights (Hang et al. 2023), from the betas up."""
    task = icp_task(prediction_type, mu=1.5, snr_gamma=snr_gamma)
    batch, model = batch_of(1, 2, 3), task.model
    draws = draw_noise(batch.seeds, (4, 6, 4))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, dim=0)
    losses = []
    for index in range(3):
        fraction = 1 - draws.uniform[index].double()
        shifted = math.exp(1.5) / (math.exp(1.5) + 1 / fraction - 1)
        timestep = max(0, math.ceil(1000 * shifted) - 1)
        alpha, sigma = alphas[timestep].sqrt().float(), (1 - alphas[timestep]).sqrt().float()
        one = slice(index, index + 1)
        with torch.no_grad():
            clean = model.encode(batch.target[one], draws.target[one])
            own = tuple(item[one] for item in draws.condition)
            condition = model.encode_condition(batch.condition[one], batch.mask[one], own)
            noisy = alpha * clean + sigma * draws.noise[one]
            prediction = model(noisy, torch.tensor([timestep]), condition)
        wanted = draws.noise[one] if prediction_type == "epsilon" else alpha * draws.noise[one] - sigma * clean
        snr = (alpha / sigma).double() ** 2
        clipped = min(snr, 5.0) / (snr if prediction_type == "epsilon" else snr + 1)
        weight = 1.0 if snr_gamma is None else float(clipped)
        losses.append(weight * (prediction - wanted).square().mean().item())
    assert task.training_step(batch, 0).item() == pytest.approx(sum(losses) / 3, rel=1e-4)


def test_the_loss_of_a_sample_does_not_depend_on_its_batch():
    task = icp_task(mu=1.5)

    def losses(*numbers):
        batch = batch_of(*numbers)
        with torch.no_grad():
            drawn = task.draw(batch)
            return task.losses(drawn, task.objective.timesteps(drawn.noise.uniform, task.model.noise_scheduler))

    together, turned = losses(1, 2, 3), losses(3, 1, 2)
    alone = torch.cat([losses(number) for number in (1, 2, 3)])
    # Convolutions of other batch sizes sum in another order: float32 rounding, nothing else.
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=0)
    torch.testing.assert_close(together, turned[[1, 2, 0]], rtol=1e-5, atol=0)
    assert len({round(value, 4) for value in together.tolist()}) == 3


def test_validation_is_fixed_and_does_not_depend_on_the_batch_size():
    task = icp_task()

    def validate(*batches):
        torch.manual_seed(len(batches))  # nothing may be drawn from the global generator
        return trainer().validate(task, loader(*(batch_of(*numbers) for numbers in batches)), verbose=False)[0]

    whole, again, uneven = validate((1, 2, 3)), validate((1, 2, 3)), validate((1, 2), (3,))
    assert whole == again
    assert uneven == {name: pytest.approx(value, rel=1e-5) for name, value in whole.items()}
    bins = [f"val/loss_t{timestep:03d}" for timestep in (100, 300, 500, 700, 900)]
    assert whole.keys() == {"val/loss", *bins}
    assert whole["val/loss"] == pytest.approx(sum(whole[name] for name in bins) / 5, rel=1e-5)
    assert len({round(whole[name], 5) for name in bins}) == 5


def test_the_base_unet_is_trained_alone_and_sees_no_condition():
    task = BaseTask(tiny_base(), DiffusionObjective(mu=0.0), SGD)
    before = copies(task)
    assert math.isfinite(step(task, batch_of(1, 2)))
    changed = {name for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("model.unet.") for name in changed)
    assert all(value.grad is not None for value in task.trainable().values())
    task = BaseTask(tiny_base(), DiffusionObjective(mu=0.0), SGD, hinted=0.0, gray_queries=0.0)
    batch = batch_of(1, 2)
    blind = replace(batch, condition=torch.zeros_like(batch.target))
    assert torch.equal(task.training_step(batch, 0), task.training_step(blind, 0))


def test_some_canvases_of_the_base_have_their_query_in_black_and_white():
    losses = {}
    for share in (0.0, 1.0):
        task = BaseTask(tiny_base(), DiffusionObjective(mu=0.0), SGD, hinted=0.0, gray_queries=share)
        batch = batch_of(1, 2)
        losses[share] = task.training_step(batch, 0)
        as_gray = replace(batch, target=batch.condition)
        losses[share, "gray"] = task.training_step(as_gray, 0)
    assert losses[1.0] == losses[1.0, "gray"] == losses[0.0, "gray"] != losses[0.0]


def test_a_hint_is_a_share_of_the_condition_and_the_loss_is_on_the_query_alone(monkeypatch):
    task = BaseTask(tiny_base(), DiffusionObjective(mu=0.0), SGD, hinted=1.0, gray_queries=0.0)
    batch = batch_of(1, 2, 3, 4)
    noise = draw_noise(batch.seeds, task.model.latent_shape(batch.target))
    latents, condition = (task.model.encode(images, noise.target) for images in (batch.target, batch.condition))
    references = torch.nn.functional.interpolate(batch.mask, size=latents.shape[-2:]).round()
    scheduler = task.model.noise_scheduler
    strengths = []

    def perfect_on_the_query(noisy_latents, timesteps, *_):
        hints = noisy_latents - scheduler.add_noise(latents, noise.noise, timesteps)
        for hint, clean in zip(hints, condition, strict=True):
            strength = float((hint * clean).sum() / clean.square().sum())
            torch.testing.assert_close(hint, strength * clean, atol=1e-5, rtol=1e-4)
            strengths.append(strength)
        return regression_target(scheduler, latents, noise.noise, timesteps) + 9.0 * references

    monkeypatch.setattr(task.model, "forward", perfect_on_the_query)
    assert task.training_step(batch, 0).item() == pytest.approx(0.0, abs=1e-6)
    assert len(set(strengths)) == 4
    assert all(0 <= strength < 1 for strength in strengths)


def test_the_vae_learns():
    task = VAETask(tiny_base(), functools.partial(torch.optim.Adam, lr=1e-2))
    batch = batch_of(1, 2, 3, 4)
    before = copies(task)
    optimizer = task.configure_optimizers()
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = task.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    changed = {name for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("vae.") for name in changed)


def test_the_vaes_validation_does_not_depend_on_the_batch_size_and_its_scale_gives_unit_deviation():
    task = VAETask(tiny_base(), SGD)
    whole, uneven = (
        trainer().validate(task, loader(*(batch_of(*numbers) for numbers in batches)), verbose=False)[0]["val/loss"]
        for batches in ([(1, 2, 3)], [(1, 2), (3,)])
    )
    assert uneven == pytest.approx(whole, rel=1e-5)
    with torch.no_grad():
        latents = task.vae.encode(batch_of(1, 2).target).latent_dist.mean
    assert (latents * task.latent_scale(batch_of(1, 2))).std().item() == pytest.approx(1.0, rel=1e-4)


def test_the_memory_estimate_counts_bytes():
    task = icp_task()
    trained = 4 * sum(value.numel() for value in task.trainable().values())
    memory = memory_estimate(task, ema=True)
    assert memory["frozen weights"] == 4 * sum(value.numel() for value in task.parameters()) - trained
    assert memory["AdamW moments"] == 2 * trained
    assert memory["average (EMA)"] == memory["gradients"] == memory["trained weights"] == trained
    assert memory_estimate(task, ema=False)["average (EMA)"] == 0


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_for_a_fused_optimizer(precision):
    """The clusters' default; Lightning alone refuses it under mixed precision."""
    task = icp_task(optimizer=functools.partial(torch.optim.AdamW, lr=1e-4, fused=True))
    trainer(max_steps=1, precision=precision, gradient_clip_val=1e-3).fit(task, loader(batch_of(1, 2)))
    norm = torch.stack([value.grad.norm() for value in task.trainable().values()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
