"""The colorizer as it is trained: what gets gradients, recomputation, compilation, counted costs."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from tiny.models import LORA, UNET, inputs, noise, randomize, sd15_on_meta, tiny_base, tiny_model
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorflow.models.conditioning import encode_latents
from colorflow.models.families import build_icp_model
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.sd.trunk import unet_with_residuals

TWO_LEVELS = UNET | {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [8, 16],
}
"""Every kind of block once: tracing takes seconds a level."""


def trained_model(
    gradient_checkpointing: Sequence[str] = (),
    unet: dict[str, Any] = UNET,
    lora: LoraSettings = LORA,
    channels_last: bool = False,
    compiled: Sequence[str] = (),
) -> ICPModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = build_icp_model(tiny_base(unet), lora, 5, gradient_checkpointing, channels_last, compiled)
    randomize(model.guider, "brushnet_")
    randomize(model.guider, "conv_in_condition.weight")
    randomize(model.unet, "lora_B")
    return model.train()


def gradients(model: ICPModel) -> tuple[Tensor, dict[str, Tensor | None]]:
    prediction = model(*inputs())
    (prediction * noise(*prediction.shape, seed=8)).sum().backward()
    return prediction.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@torch.no_grad()
def test_untrained_model_predicts_what_the_base_does():
    """Bit for bit diffusers' own forward with zero LoRA; the base without LoRA up to rounding."""
    latents, timesteps, condition = inputs()
    base, model = tiny_base(), tiny_model(trained=False).eval()
    text = base.prompt_embeds.expand(2, -1, -1)
    found = model(latents, timesteps, condition)
    assert torch.equal(found, model.unet(latents, timesteps, text).sample)
    expected = base.network.eval()(latents, timesteps, text).sample
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(tiny_model().eval()(latents, timesteps, condition), expected, atol=1e-2)


@torch.no_grad()
def test_prompt_is_the_default_text_and_no_weight():
    model, arguments = tiny_model().eval(), inputs()
    prompt = model.prompt_embeds.expand(2, -1, -1)
    negative = model.negative_prompt_embeds.expand(2, -1, -1)
    assert torch.equal(model(*arguments), model(*arguments, prompt))
    assert not torch.allclose(model(*arguments), model(*arguments, negative), atol=1e-5)
    assert not any("prompt_embeds" in name for name in model.state_dict())
    assert model.double().prompt_embeds.dtype == torch.float64, "they must follow the model"


def test_only_guider_and_lora_get_gradients_and_the_vae_stays_in_evaluation_mode():
    model = trained_model()
    _, found = gradients(model)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {name for name in found if name.startswith("guider.") or "lora_" in name}
    assert {name for name, gradient in found.items() if gradient is not None} == trained
    still = [name for name in trained if not found[name].any()]
    assert not still, "parameters without any influence on the prediction"
    assert model.guider.training
    assert model.unet.training
    assert not any(module.training for module in model.vae.modules())


def test_encoding_is_the_shared_one_without_gradients():
    model = tiny_model(9)
    canvas, mask = noise(1, 3, 96, 64).clamp(-1, 1), (noise(1, 1, 96, 64) > 0).float()
    shape = model.latent_shape(canvas)
    assert shape == (4, 12, 8)
    first, second = noise(1, *shape, seed=1), noise(1, *shape, seed=2)
    assert torch.equal(model.encode(canvas, first), encode_latents(model.vae, canvas, first))
    condition = model.encode_condition(canvas, mask, (first, second))
    assert not condition.requires_grad
    assert (model.source, model.revision) == ("random", None)


@pytest.mark.parametrize("networks", [["guider"], ["unet"], ["guider", "unet"]], ids="+".join)
def test_gradient_checkpointing_changes_no_gradient(networks):
    plain_prediction, plain = gradients(trained_model())
    model = trained_model(networks)
    calls = dict.fromkeys(("guider", "unet"), 0)
    for name in calls:
        for module in getattr(model, name).modules():
            if isinstance(module, ResnetBlock2D):
                module.register_forward_pre_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    prediction, found = gradients(model)
    assert torch.equal(prediction, plain_prediction)
    assert plain.keys() == found.keys()
    for name, gradient in plain.items():
        assert (found[name] is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=f"gradient of {name}")
    resnets = sum(isinstance(module, ResnetBlock2D) for module in model.unet.modules())
    recomputed = resnets - 1  # diffusers keeps the first one of the middle block
    assert calls == {name: resnets + recomputed * (name in networks) for name in calls}


def test_channels_last_changes_rounding_alone():
    plain_prediction, plain = gradients(trained_model())
    model = trained_model(channels_last=True)
    assert model.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.guider.conv_in_condition.weight.is_contiguous(memory_format=torch.channels_last)
    prediction, found = gradients(model)
    torch.testing.assert_close(prediction, plain_prediction, atol=1e-5, rtol=1e-4)
    for name, gradient in plain.items():
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-3, msg=f"gradient of {name}")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    torch.optim.AdamW(trained, fused=True).step()  # it wants weight and gradient in one layout


def test_blocks_of_both_networks_are_compiled(monkeypatch):
    compiled: list[tuple[Any, dict[str, bool]]] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compiled.append((self, options)))
    model = trained_model(compiled=["ResnetBlock2D"])
    blocks = [module for net in (model.guider, model.unet) for module in net.modules()]
    assert [block for block, _ in compiled] == [block for block in blocks if isinstance(block, ResnetBlock2D)]
    assert all(options == {"fullgraph": True} for _, options in compiled)
    with pytest.raises(ValueError, match=r"expected blocks among \('ResNet',\), ColorizationGuider has none"):
        trained_model(compiled=["ResNet"])
    with pytest.raises(ValueError, match=r"expected names among \['guider', 'unet'\], got 'vae'"):
        trained_model(["vae"])


def test_compiles_without_a_graph_break():
    lora = LoraSettings(2, 4, ("to_q", "ff.net.2"))
    eager_prediction, eager = gradients(trained_model(unet=TWO_LEVELS, lora=lora))
    model = trained_model(unet=TWO_LEVELS, lora=lora)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prediction = torch.compile(model, fullgraph=True, backend="eager")(*inputs())
    torch._dynamo.reset()
    (prediction * noise(*prediction.shape, seed=8)).sum().backward()
    torch.testing.assert_close(prediction, eager_prediction)
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, gradient in eager.items():
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, msg=f"gradient of {name}")


def tera_flops(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() / 1e12


def meta_inputs(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    shape = (1, 4, height, width)
    return (
        torch.empty(shape, device="meta"),
        torch.zeros(1, dtype=torch.long, device="meta"),
        torch.empty(1, 5, height, width, device="meta"),
    )


def test_counted_cost_of_the_guider():
    """On the canvas of a 512 x 800 page (counted apart from this code: 8.983 TFLOP)."""
    guider = sd15_on_meta().guider
    assert tera_flops(lambda: guider(*meta_inputs(200, 128))) == pytest.approx(8.983, rel=0.01)


def test_counted_cost_of_a_training_forward():
    """On the window that is trained on (counted apart from this code: 2.78 TFLOP, guider 1.351)."""
    model, (latents, timesteps, condition) = sd15_on_meta(), meta_inputs(100, 64)
    text = torch.empty(1, 77, 768, device="meta")
    residuals = model.guider(latents, timesteps, condition)
    guider = tera_flops(lambda: model.guider(latents, timesteps, condition))
    unet = tera_flops(lambda: unet_with_residuals(model.unet, latents, timesteps, text, residuals))
    assert guider == pytest.approx(1.351, rel=0.01)
    assert guider + unet == pytest.approx(2.78, rel=0.01)
    assert unet == pytest.approx(1.364 * 1.044, rel=0.01), "LoRA of rank 64 adds 4.4 %"
