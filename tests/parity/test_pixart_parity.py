"""ICP on PixArt-alpha against the released code: fixtures ``c_pixart_*`` and ``g_pipeline_pixart*``.

Single forward passes: 2e-5 times the tensor's largest absolute value, at least 2e-5, as for Stable Diffusion.
Pipelines: tolerances of the released-code facts, 9.16. Non-square fixtures show the orientation of resolution,
aspect ratio and position embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from PIL import Image
from torch import Tensor

from colorflow.models.base import Base
from colorflow.models.icp_model import ICPModel
from colorflow.models.lora import add_lora, load_lora_state_dict, lora_state_dict
from colorflow.models.pixart import FAMILY as PIXART
from colorflow.models.pixart.guider import RELEASED_ALIAS, PixArtGuider
from colorflow.models.pixart.trunk import transformer_with_control
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.utils.images import to_tensor
from parity.fixtures import cases, load, with_prefix
from parity.test_icp_parity import assert_levels, assert_near, levels, numbered

Config = dict[str, Any]
Tensors = dict[str, Tensor]


def build_transformer(config: Config, tensors: Tensors, lora: bool = False) -> PixArtTransformer2DModel:
    transformer = PixArtTransformer2DModel.from_config(config["transformer"])
    transformer.load_state_dict(with_prefix(tensors, "transformer."))
    if lora:
        settings, stored = config["lora"], with_prefix(tensors, "lora.")
        add_lora(transformer, settings["r"], settings["alpha"], settings["targets"])
        assert {key for key in transformer.state_dict() if "lora_" in key} == stored.keys()
        named = {key.replace(".default.", "."): value for key, value in stored.items()}
        load_lora_state_dict(transformer, named, "fixture")
        assert len(lora_state_dict(transformer)) == len(stored)
    return transformer.eval()


def build_guider(config: Config, tensors: Tensors) -> PixArtGuider:
    guider = PixArtGuider.from_config(config["guider"])
    stored = with_prefix(tensors, "guider.")
    guider.load_state_dict({key: value for key, value in stored.items() if not key.startswith(RELEASED_ALIAS)})
    return guider.eval()


def build_pipeline(config: Config, tensors: Tensors) -> ICPPipeline:
    """As the product does it: the base's noise schedule in, DPM-Solver++ out."""
    vae = AutoencoderKL.from_config(config["vae"])
    vae.load_state_dict(with_prefix(tensors, "vae."))
    base = Base(
        family=PIXART,
        vae=vae,
        network=build_transformer(config, tensors),
        scheduler=DDPMScheduler.from_config(config["scheduler"]),
        prompt_embeds=tensors["in.prompt_embeds"],
        negative_prompt_embeds=tensors["in.negative_prompt_embeds"],
        prompt_mask=tensors["in.prompt_mask"],
        negative_prompt_mask=tensors["in.negative_prompt_mask"],
        source="fixture",
    )
    pipeline = ICPPipeline(ICPModel(base, build_guider(config, tensors)).eval())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("path", cases("c_pixart_"))
@torch.no_grad()
def test_control_tokens(path: Path) -> None:
    config, tensors = load(path)
    found = build_guider(config, tensors)(
        tensors["in.latents"], tensors["in.timestep"], tensors["in.cond"], tensors["in.resolution"]
    )
    expected = numbered(tensors, "out.control.")
    assert len(found) == len(expected) == config["n_control"]
    for index, (control, stored) in enumerate(zip(found, expected, strict=True)):
        assert stored.abs().max() > 0.01, "a fixture of zeros would accept anything"
        assert_near(control, stored, f"control {index}")


@pytest.mark.parametrize("path", cases("c_pixart_"))
@torch.no_grad()
def test_predictions(path: Path) -> None:
    """All channels, the learned variance included."""
    config, tensors = load(path)
    size = tensors["in.resolution"]
    torch.testing.assert_close(size[:, :1] / size[:, 1:], tensors["in.aspect_ratio"], msg="ours is made of the size")
    control = numbered(tensors, "out.control.")
    transformer = build_transformer(config, tensors)
    found = {
        "noise_pred": (transformer, control),
        "noise_pred_no_guider": (transformer, []),
        "noise_pred_lora": (build_transformer(config, tensors, lora=True), control),
    }
    assert {f"out.{name}" for name in found} == {key for key in tensors if key.startswith("out.noise_pred")}
    latents, timestep, text = tensors["in.latents"], tensors["in.timestep"], tensors["in.text"]
    for name, (network, added) in found.items():
        prediction = transformer_with_control(network, latents, timestep, text, tensors["in.text_mask"], size, added)
        assert_near(prediction, tensors[f"out.{name}"], name)


@pytest.mark.parametrize("path", cases("g_pipeline_pixart"))
def test_pipeline(path: Path) -> None:
    config, tensors = load(path)
    pipeline = build_pipeline(config, tensors)
    latents: list[Tensor] = []
    result = pipeline(
        to_tensor(Image.fromarray(tensors["in.cond_image"].numpy()))[None],
        1 - tensors["in.mask_image"][None, None, :, :, 0].float() / 255,
        Sampling(config["steps"], config["guidance_scale"]),
        latents=tensors["in.init_latents"],
        posterior_noise=numbered(tensors, "in.vae_noise."),
        callback_on_step_end=lambda pipe, index, timestep, tensors: latents.append(tensors["latents"]),
    )
    assert torch.equal(pipeline.scheduler.timesteps, tensors["out.timesteps"])
    expected = numbered(tensors, "out.latents_after_step.")
    assert len(latents) == len(expected) == config["steps"]
    for index, (ours, theirs) in enumerate(zip(latents, expected, strict=True)):
        bound = 1e-5 * theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, atol=bound, rtol=0, msg=lambda text, i=index: f"step {i}: {text}")
    torch.testing.assert_close(result[0].permute(1, 2, 0) / 2 + 0.5, tensors["out.image"], atol=2e-5, rtol=0)
    assert_levels(levels(result[0]), tensors["out.uint8"])


@pytest.mark.parametrize("path", cases("g_pipeline_pixart"))
def test_scheduler_is_the_released_one(path: Path) -> None:
    """The schedule that a base's own (DDPM) configuration leads to is the fixture's DPM-Solver++."""
    config, tensors = load(path)
    ours = build_pipeline(config, tensors).scheduler
    theirs = DPMSolverMultistepScheduler.from_config(config["scheduler"])
    for steps in (1, config["steps"], 10, 50):
        ours.set_timesteps(steps)
        theirs.set_timesteps(steps)
        assert torch.equal(ours.timesteps, theirs.timesteps)
        assert torch.equal(ours.sigmas, theirs.sigmas)
    keys = ("solver_order", "solver_type", "algorithm_type", "lower_order_final", "euler_at_final")
    keys += ("prediction_type", "final_sigmas_type")
    assert {key: ours.config[key] for key in keys} == {key: theirs.config[key] for key in keys}
