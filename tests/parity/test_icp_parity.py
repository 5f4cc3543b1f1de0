"""ICP on Stable Diffusion against the released code: fixtures ``b_sd_*``, ``g_pipeline_sd_*``, the ICP part of ``h_*``.

Single forward passes: 2e-5 times the tensor's largest absolute value, at least 2e-5. The stored values are float32
themselves: at values of 15 they are 2.4e-5 away from the same network run in float64, so that a bound of 2e-5 without
the scale would test the order of additions. Pipelines: tolerances of the released-code facts, 9.16.
"""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel, UniPCMultistepScheduler
from peft import get_peft_model_state_dict
from PIL import Image
from torch import Tensor

from colorflow.canvas import query_mask
from colorflow.models.base import Base
from colorflow.models.icp_model import ICPModel
from colorflow.models.lora import add_lora, load_lora_state_dict
from colorflow.models.sd import FAMILY as SD
from colorflow.models.sd.guider import ColorizationGuider
from colorflow.models.sd.trunk import unet_with_residuals
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.utils.images import to_image, to_tensor
from parity.fixtures import cases, load, with_prefix

Config = dict[str, Any]
Tensors = dict[str, Tensor]


def build_unet(config: Config, tensors: Tensors, lora: bool = False) -> UNet2DConditionModel:
    unet = UNet2DConditionModel.from_config(config["unet"])
    unet.load_state_dict(with_prefix(tensors, "unet."))
    if lora:
        add_stored_lora(unet, config["lora"], with_prefix(tensors, "lora."))
    return unet.eval()


def add_stored_lora(network: torch.nn.Module, settings: Config, stored: Tensors) -> None:
    add_lora(network, settings["r"], settings["alpha"], settings["targets"])
    assert {key for key in network.state_dict() if "lora_" in key} == stored.keys()
    load_lora_state_dict(network, {key.replace(".default.", "."): value for key, value in stored.items()}, "fixture")
    assert len(get_peft_model_state_dict(network)) == len(stored)


def build_guider(config: Config, tensors: Tensors) -> ColorizationGuider:
    guider = ColorizationGuider.from_config(config["guider"])
    guider.load_state_dict(with_prefix(tensors, "guider."))
    return guider.eval()


def build_pipeline(config: Config, tensors: Tensors) -> ICPPipeline:
    """As the product does it: the base's noise schedule in, UniPC out."""
    vae = AutoencoderKL.from_config(config["vae"])
    vae.load_state_dict(with_prefix(tensors, "vae."))
    base = Base(
        family=SD,
        vae=vae,
        network=build_unet(config, tensors, lora=True),
        scheduler=DDPMScheduler.from_config(config.get("sched_source", config["scheduler"])),
        prompt_embeds=tensors["in.prompt_embeds"],
        negative_prompt_embeds=tensors["in.negative_prompt_embeds"],
        source="fixture",
    )
    pipeline = ICPPipeline(ICPModel(base, build_guider(config, tensors)).eval())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def numbered(tensors: Tensors, prefix: str) -> list[Tensor]:
    found = with_prefix(tensors, prefix)
    return [found[key] for key in sorted(found, key=int)]


def assert_near(found: Tensor, expected: Tensor, name: str, tolerance: float = 2e-5) -> None:
    assert found.shape == expected.shape, name
    bound = tolerance * max(1.0, expected.abs().max().item())
    difference = (found - expected).abs().max().item()
    assert difference <= bound, f"{name}: differs by {difference:.2e}, allowed {bound:.2e}"


def assert_levels(found: Tensor, expected: Tensor) -> None:
    """At most one level apart, on under 0.05 % of the values."""
    assert found.shape == expected.shape
    difference = (found.int() - expected.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).double().mean() < 5e-4


def assert_same_schedule(ours: Any, theirs: Any, steps: int, more: tuple[str, ...]) -> None:
    for count in (1, steps, 10, 50):
        ours.set_timesteps(count)
        theirs.set_timesteps(count)
        assert torch.equal(ours.timesteps, theirs.timesteps)
        assert torch.equal(ours.sigmas, theirs.sigmas)
    keys = ("solver_order", "solver_type", "lower_order_final", "prediction_type", "final_sigmas_type", *more)
    assert {key: ours.config[key] for key in keys} == {key: theirs.config[key] for key in keys}


def levels(canvas: Tensor) -> Tensor:
    """``(H, W, 3)`` uint8 of the product's own conversion."""
    image = to_image(canvas)
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(image.height, image.width, 3)


@pytest.mark.parametrize("path", cases("b_sd_"))
@torch.no_grad()
def test_guider_residuals(path):
    config, tensors = load(path)
    guider = build_guider(config, tensors)
    found = guider(tensors["in.latents"], tensors["in.timestep"], tensors["in.cond"])
    down, up = numbered(tensors, "out.down."), numbered(tensors, "out.up.")
    assert (len(down), len(up)) == (config["n_down"], config["n_up"])
    expected = [*down, tensors["out.mid"], *up]
    assert len(found) == len(expected)
    for index, (residual, stored) in enumerate(zip(found, expected, strict=True)):
        assert stored.abs().max() > 0.01, "a fixture of zeros would accept anything"
        assert_near(residual, stored, f"tap {index}")


@pytest.mark.parametrize("path", cases("b_sd_"))
@torch.no_grad()
def test_predictions(path):
    config, tensors = load(path)
    unet, guider = build_unet(config, tensors), build_guider(config, tensors)
    latents, timestep, condition = tensors["in.latents"], tensors["in.timestep"], tensors["in.cond"]
    residuals = {scale: guider(latents, timestep, condition, scale) for scale in (1.0, 0.5)}
    with_lora = build_unet(config, tensors, lora=True)
    found = {
        "noise_pred": (unet, residuals[1.0]),
        "noise_pred_no_guider": (unet, None),
        "noise_pred_scale0.5": (unet, residuals[0.5]),
        "noise_pred_lora": (with_lora, residuals[1.0]),
    }
    assert {f"out.{name}" for name in found} == {key for key in tensors if key.startswith("out.noise_pred")}
    for name, (network, added) in found.items():
        prediction = unet_with_residuals(network, latents, timestep, tensors["in.text"], added)
        assert_near(prediction, tensors[f"out.{name}"], name)


@pytest.mark.parametrize("path", cases("b_sd_"))
def test_from_unet(path):
    config, tensors = load(path)
    guider = ColorizationGuider.from_unet(build_unet(config, tensors), config["guider"]["conditioning_channels"])
    own, expected = guider.state_dict(), with_prefix(tensors, "from_unet_init.")
    assert expected
    for key, value in expected.items():
        assert torch.equal(own[key], value), key
    assert own.keys() == with_prefix(tensors, "guider.").keys()


def posterior_noise(config: Config, tensors: Tensors, source: str) -> list[Tensor]:
    """The stored draws, or the same ones from the global generator's seed (released-code facts, 9.5)."""
    stored = numbered(tensors, "in.vae_noise.")
    if source == "stored":
        return stored
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.get("torch_seed_for_vae_noise", config.get("seed")))
        drawn = [torch.randn(noise.shape) for noise in stored]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(drawn, stored, strict=True))
    return drawn


@pytest.mark.parametrize("noise", ["stored", "seed"])
@pytest.mark.parametrize("path", cases("g_pipeline_sd_"))
def test_pipeline(path, noise, monkeypatch):
    config, tensors = load(path)
    pipeline = build_pipeline(config, tensors)
    predictions: list[Tensor] = []
    latents: list[Tensor] = []
    predict = pipeline.predict
    monkeypatch.setattr(pipeline, "predict", lambda *a: predictions.append(predict(*a)) or predictions[-1])
    canvas = to_tensor(Image.fromarray(tensors["in.cond_image"].numpy()))[None]
    mask = 1 - tensors["in.mask_image"][None, None, :, :, 0].float() / 255
    result = pipeline(
        canvas,
        mask,
        Sampling(config["steps"], config["guidance_scale"]),
        latents=tensors["in.init_latents"],
        posterior_noise=posterior_noise(config, tensors, noise),
        callback_on_step_end=lambda pipe, index, timestep, tensors: latents.append(tensors["latents"]),
    )
    assert torch.equal(pipeline.scheduler.timesteps, tensors["out.timesteps"])
    torch.testing.assert_close(pipeline.scheduler.sigmas, tensors["out.sigmas"], atol=1e-6, rtol=1e-6)
    expected = numbered(tensors, "out.guided_noise_pred.")
    assert len(predictions) == len(expected) == config["steps"]
    for index, (ours, theirs) in enumerate(zip(predictions, expected, strict=True)):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0, msg=lambda text, i=index: f"step {i}: {text}")
    for index, (ours, theirs) in enumerate(zip(latents, numbered(tensors, "out.latents_after_step."), strict=True)):
        bound = 1e-5 * theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, atol=bound, rtol=0, msg=lambda text, i=index: f"step {i}: {text}")
    torch.testing.assert_close(result[0].permute(1, 2, 0) / 2 + 0.5, tensors["out.image"], atol=2e-5, rtol=0)
    assert_levels(levels(result[0]), tensors["out.uint8"])


@pytest.mark.parametrize("path", cases("g_pipeline_sd_"))
def test_scheduler_is_the_released_one(path):
    config, tensors = load(path)
    ours, theirs = build_pipeline(config, tensors).scheduler, UniPCMultistepScheduler.from_config(config["scheduler"])
    assert_same_schedule(ours, theirs, config["steps"], ("predict_x0",))


@pytest.mark.parametrize("path", cases("h_end_to_end_sd"))
def test_end_to_end_canvas(path):
    config, tensors = load(path)
    pipeline = build_pipeline(config, tensors)
    result = pipeline(
        to_tensor(Image.fromarray(tensors["out.stitched"].numpy()))[None],
        query_mask((config["W"], config["H"]))[None],
        Sampling(config["steps"], 7.5),
        latents=tensors["in.init_latents"],
        posterior_noise=posterior_noise(config, tensors, "seed")[:-1],  # the last one is the super-resolution's
    )
    assert_levels(levels(result[0]), tensors["out.low_res_canvas"])
