"""Timesteps, noise and loss, against formulas written out here a second time."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from scipy.stats import chisquare
from tiny.models import SCHEDULER, noise
from torch import Tensor

from colorflow.diffusion.noise import draw_noise
from colorflow.diffusion.objective import (
    DiffusionObjective,
    min_snr_weights,
    regression_target,
    sample_timesteps,
    shift_timesteps,
)

MUS = (0.0, 1.5, 3.0)
UNIFORM = torch.rand(200_000, generator=torch.Generator().manual_seed(4))


def ddpm(prediction_type: str = "epsilon") -> DDPMScheduler:
    return DDPMScheduler(**SCHEDULER | {"prediction_type": prediction_type})


def signal(scheduler: DDPMScheduler) -> np.ndarray:
    """Cumulative alphas of the scaled linear schedule, from its definition."""
    betas = np.linspace(SCHEDULER["beta_start"] ** 0.5, SCHEDULER["beta_end"] ** 0.5, 1000) ** 2
    found = np.cumprod(1 - betas)
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), found, rtol=1e-4)
    return found


@pytest.mark.parametrize("mu", MUS)
def test_shift_is_a_monotone_shift_of_the_logit(mu):
    fraction = torch.linspace(0.001, 0.999, 777, dtype=torch.float64)
    expected = torch.sigmoid(torch.logit(fraction) + mu)
    torch.testing.assert_close(shift_timesteps(fraction, mu), expected, atol=1e-12, rtol=1e-12)
    fraction = torch.linspace(0.001, 1, 1000, dtype=torch.float64)
    shifted = shift_timesteps(fraction, mu)
    assert (shifted.diff() > 0).all()
    assert (shift_timesteps(fraction[:-1], mu + 0.5) > shifted[:-1]).all()


def test_shift_by_hand():
    """t = 500 of T = 1000 at mu = 1.5: e^1.5 / (e^1.5 + 1) = 4.4817 / 5.4817."""
    assert shift_timesteps(torch.tensor(0.5), 1.5).item() == pytest.approx(0.81757, abs=1e-5)
    assert shift_timesteps(torch.tensor(1.0), 1.5).item() == 1.0


@pytest.mark.parametrize("steps", [1000, 10])
@pytest.mark.parametrize("mu", MUS)
def test_timesteps_stay_in_range(mu, steps):
    ends = torch.tensor([0.0, 1 - 2**-24])
    found = sample_timesteps(torch.cat([ends, UNIFORM]), mu, steps)
    assert found.dtype == torch.int64
    assert found[0] == steps - 1
    assert found[1] == 0
    assert found.min() == 0
    assert found.max() == steps - 1


def test_timesteps_without_shift_have_equal_shares_and_whole_numbers_belong_to_the_step_below():
    middle = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert torch.equal(sample_timesteps(middle, 0.0), torch.arange(999, -1, -1))
    counts = torch.bincount(sample_timesteps(UNIFORM, 0.0), minlength=1000)
    assert len(counts) == 1000
    assert chisquare(counts.numpy()).pvalue > 1e-3
    uniform = 1 - torch.tensor([1, 0.5, 0.25, 0.125])
    assert sample_timesteps(uniform, 0.0, 8).tolist() == [7, 3, 1, 0]


@pytest.mark.parametrize("mu", MUS)
def test_distribution(mu):
    """P(t' <= k) is the inverse of Eq. 5 at k / T: a shift by -mu."""
    counts = torch.bincount(sample_timesteps(UNIFORM, mu), minlength=1000).reshape(50, 20).sum(1).double()
    edges = np.linspace(0, 1, 51)
    share = np.diff(edges / (edges + math.exp(mu) * (1 - edges)))
    assert chisquare(counts.numpy(), share * len(UNIFORM)).pvalue > 1e-3


@pytest.mark.parametrize("gamma", [1.0, 5.0])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr(kind, gamma):
    scheduler = ddpm(kind)
    alphas = signal(scheduler)
    snr = alphas / (1 - alphas)
    expected = np.minimum(snr, gamma) / (snr if kind == "epsilon" else snr + 1)
    found = DiffusionObjective(snr_gamma=gamma).weights(scheduler)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4)
    assert torch.equal(found, min_snr_weights(scheduler, gamma))
    assert found.std() > 0.05


def test_defaults_of_the_objective():
    assert torch.equal(DiffusionObjective().weights(ddpm()), torch.ones(1000))
    found = DiffusionObjective(mu=3.0).timesteps(UNIFORM, ddpm())
    assert torch.equal(found, sample_timesteps(UNIFORM, 3.0, 1000))
    assert DiffusionObjective().mu == 1.5


def test_targets():
    latents, drawn, timesteps = noise(3, 4, 5, 6, seed=1), noise(3, 4, 5, 6, seed=2), torch.tensor([0, 500, 999])
    assert torch.equal(regression_target(ddpm(), latents, drawn, timesteps), drawn)
    alphas = torch.from_numpy(signal(ddpm()))[timesteps].reshape(3, 1, 1, 1)
    expected = alphas.sqrt() * drawn - (1 - alphas).sqrt() * latents
    found = regression_target(ddpm("v_prediction"), latents, drawn, timesteps)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="expected epsilon or v_prediction, got sample"):
        regression_target(ddpm("sample"), latents, drawn, timesteps)


def loss_inputs() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.ones(3, 1, 6, 8)
    mask[:, :, 2:5, 3:6] = 0
    mask[2, :, 1] = 0.25
    return noise(3, 4, 6, 8, seed=1), noise(3, 4, 6, 8, seed=2), mask


def test_loss_is_the_mean_of_the_whole_crop_in_float32():
    prediction, target, mask = loss_inputs()
    objective = DiffusionObjective()
    found = objective.loss(prediction, target, objective.pixel_weights(mask))
    assert found.shape == (3,)
    torch.testing.assert_close(found, ((prediction - target) ** 2).mean(dim=(1, 2, 3)))
    found = objective.loss(prediction.bfloat16(), target, objective.pixel_weights(mask))
    assert found.dtype == torch.float32


@pytest.mark.parametrize("weight", [0.0, 0.5, 4.0])
def test_loss_with_query_weight(weight):
    prediction, target, mask = loss_inputs()
    objective = DiffusionObjective(query_weight=weight)
    found = objective.loss(prediction, target, objective.pixel_weights(mask))
    for sample in range(3):
        above = below = 0.0
        for row in range(6):
            for column in range(8):
                share = mask[sample, 0, row, column].item()
                factor = share + weight * (1 - share)
                error = (prediction[sample, :, row, column] - target[sample, :, row, column]).square().mean().item()
                above, below = above + factor * error, below + factor
        assert found[sample].item() == pytest.approx(above / below, rel=1e-5)


def test_noise_of_a_sample_is_its_own_and_leaves_the_global_generator_alone():
    together = draw_noise([11, 22, 33], (4, 6, 5))
    for row, seed in enumerate([11, 22, 33]):
        alone = draw_noise([seed], (4, 6, 5))
        assert torch.equal(alone.uniform[0], together.uniform[row])
        assert torch.equal(alone.noise[0], together.noise[row])
        assert torch.equal(alone.target[0], together.target[row])
        for one, other in zip(alone.condition, together.condition, strict=True):
            assert torch.equal(one[0], other[row])
    state = torch.random.get_rng_state()
    draw_noise([1, 2], (4, 6, 5))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_noise_is_normal_and_independent():
    drawn = draw_noise(range(50), (4, 24, 24))
    parts = torch.stack([drawn.noise, drawn.target, *drawn.condition]).flatten(1).double()
    count = parts.shape[1]
    correlation = parts @ parts.T / count
    torch.testing.assert_close(correlation, torch.eye(4, dtype=torch.float64), atol=5 / count**0.5, rtol=0)
    assert parts.mean().abs() < 5 / (4 * count) ** 0.5
    assert drawn.uniform.shape == (50,)
    assert 0 <= drawn.uniform.min() < 0.2
    assert 0.8 < drawn.uniform.max() < 1
    assert len(set(drawn.uniform.tolist())) == 50
