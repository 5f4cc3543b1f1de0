"""The guider and the walk that adds its residuals: keys, copies, zero start, tap points."""

from collections.abc import Callable, Sequence

import pytest
import torch
from diffusers import UNet2DConditionModel
from tiny.models import (
    SD_UNET,
    UNET,
    inputs,
    noise,
    randomize,
    released_keys,
    sd15_config,
    sd15_on_meta,
    shapes,
    tiny_model,
)
from torch import Tensor, nn

from colorflow.models.lora import add_lora
from colorflow.models.sd.guider import ColorizationGuider
from colorflow.models.sd.trunk import tap_widths, unet_with_residuals

TAPS = ("brushnet_down_blocks.", "brushnet_mid_block.", "brushnet_up_blocks.")


def random_unet(config: dict) -> UNet2DConditionModel:
    """Every parameter random: norms start as ones and zeros in any net, and would look copied."""
    unet = UNet2DConditionModel(**config).eval()
    randomize(unet, "", scale=0.2)
    return unet


@pytest.fixture(params=[UNET, SD_UNET], ids=["toon", "sd"])
def unet(request: pytest.FixtureRequest) -> UNet2DConditionModel:
    return random_unet(request.param)


@pytest.mark.parametrize("channels", [5, 9])
def test_sd15_keys_and_counts(channels):
    expected = released_keys(f"colorguider_sd_cond{channels}")
    guider = sd15_on_meta(channels).guider
    assert len(expected) == 626
    assert shapes(guider.state_dict()) == expected
    assert guider.conv_in_condition.weight.shape == (320, 4 + channels, 3, 3)
    assert round(sum(parameter.numel() for parameter in guider.parameters()) / 1e6, 1) == 842.1
    down = [320] * 4 + [640] * 3 + [1280] * 5
    up = [1280] * 8 + [640] * 4 + [320] * 3
    assert [tap.out_channels for tap in guider.brushnet_down_blocks] == down
    assert guider.brushnet_mid_block.out_channels == 1280
    assert [tap.out_channels for tap in guider.brushnet_up_blocks] == up


def test_sd15_base_and_vae_are_the_released_ones():
    stored = sd15_on_meta().unet.state_dict()
    plain = {key.replace(".base_layer.", "."): value for key, value in stored.items() if "lora_" not in key}
    assert sd15_config()["conditioning_channels"] == 5
    assert len(plain) == 686
    assert round(sum(value.numel() for value in plain.values()) / 1e6, 2) == 859.52
    assert shapes(plain) == released_keys("unet_sd15_base")
    assert shapes(sd15_on_meta().vae.state_dict()) == released_keys("vae_sd")
    unet, guider = sd15_on_meta().unet, sd15_on_meta().guider
    source = {key.replace(".base_layer.", ".") for key in unet.state_dict()}
    copied = sorted(guider.state_dict().keys() & source)
    assert len(copied) == 568
    assert copied == sorted(released_keys("sd_guider_keys_copied_from_unet", "colorflow_meta.json"))


@pytest.mark.parametrize("channels", [5, 9])
def test_released_config_builds_the_same_guider(channels):
    released = released_keys(f"colorguider_sd_cond{channels}_config", "colorflow_meta.json")
    with torch.device("meta"):
        guider = ColorizationGuider.from_config(released)
    assert shapes(guider.state_dict()) == shapes(sd15_on_meta(channels).guider.state_dict())
    heads = [module.heads for module in guider.modules() if hasattr(module, "heads")]
    assert heads == [released["attention_head_dim"]] * len(heads)
    assert len(heads) == 16


def test_from_unet_copies_every_shared_tensor(unet):
    guider = ColorizationGuider.from_unet(unet)
    source, own = unet.state_dict(), guider.state_dict()
    shared = own.keys() & source.keys()
    for key in shared:
        assert torch.equal(own[key], source[key]), key
        assert own[key].data_ptr() != source[key].data_ptr(), f"{key} is shared, not copied"
    if unet.config.layers_per_block == SD_UNET["layers_per_block"]:
        assert (len(own), len(shared)) == (626, 568)
    rest = own.keys() - shared
    assert all(key.startswith((*TAPS, "conv_in_condition.")) for key in rest)
    taps = [value for key, value in own.items() if key.startswith(TAPS)]
    assert len(taps) == 2 * sum(map(len, (tap_widths(unet, 8)[0], [0], tap_widths(unet, 8)[2])))
    assert not any(tap.any() for tap in taps), "taps start at zero"
    blocks = [key for key in own if "transformer_blocks" in key]
    assert not any(part in key for key in blocks for part in (".attn2.", ".norm2."))


@pytest.mark.parametrize("channels", [5, 9])
def test_from_unet_input_convolution(unet, channels):
    guider = ColorizationGuider.from_unet(unet, channels)
    weight = guider.conv_in_condition.weight
    assert weight.shape[1] == 4 + channels
    assert torch.equal(weight[:, :4], unet.conv_in.weight)
    assert torch.equal(weight[:, 4:8], unet.conv_in.weight)
    assert not weight[:, 8:].any()
    assert torch.equal(guider.conv_in_condition.bias, unet.conv_in.bias)
    with torch.no_grad():
        guider.conv_in_condition.bias.zero_()
    assert unet.conv_in.bias.any(), "the bias is shared with the U-Net"


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (9, 7)], ids=["even", "odd"])
def test_untrained_guider_changes_nothing(unet, size):
    """Against diffusers' own forward, bit for bit; odd latents upsample to the size of their skip."""
    guider = ColorizationGuider.from_unet(unet).eval()
    latents, timesteps, condition = inputs(size=size)
    text = noise(2, 3, 8)
    expected = unet(latents, timesteps, text).sample
    residuals = guider(latents, timesteps, condition)
    assert torch.equal(unet_with_residuals(unet, latents, timesteps, text, residuals), expected)
    assert torch.equal(unet_with_residuals(unet, latents, timesteps, text), expected)


def with_hooks(unet: UNet2DConditionModel, residuals: Sequence[Tensor], run: Callable[[], Tensor]) -> Tensor:
    """The addition of residuals written a second time, as hooks on diffusers' own forward (facts, 3.3)."""
    remaining, handles = iter(residuals[1:]), []

    def add(module: nn.Module, args: tuple, output: Tensor | tuple) -> Tensor | tuple:
        return (output[0] + next(remaining),) if isinstance(output, tuple) else output + next(remaining)

    def points(block: nn.Module, samplers: str) -> list[nn.Module]:
        return [*(getattr(block, "attentions", None) or block.resnets), *(getattr(block, samplers) or ())]

    down = [point for block in unet.down_blocks for point in points(block, "downsamplers")]
    up = [point for block in unet.up_blocks for point in points(block, "upsamplers")]
    handles += [point.register_forward_hook(add) for point in [*down, unet.mid_block, *up]]
    # The stored skip of conv_in stays as it is: the residual joins at the first block's door.
    handles.append(
        unet.down_blocks[0].register_forward_pre_hook(
            lambda module, args, kwargs: (args, kwargs | {"hidden_states": kwargs["hidden_states"] + residuals[0]}),
            with_kwargs=True,
        )
    )
    try:
        return run()
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (9, 7)], ids=["even", "odd"])
def test_residuals_join_where_they_should(unet, size):
    guider = ColorizationGuider.from_unet(unet).eval()
    randomize(guider, "brushnet_")
    latents, timesteps, condition = inputs(size=size)
    text = noise(2, 3, 8)
    residuals = guider(latents, timesteps, condition)
    assert all(residual.abs().max() > 0 for residual in residuals)
    expected = with_hooks(unet, residuals, lambda: unet(latents, timesteps, text).sample)
    found = unet_with_residuals(unet, latents, timesteps, text, residuals)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, unet(latents, timesteps, text).sample, atol=1e-2)


@torch.no_grad()
def test_conditioning_scale_multiplies_every_residual():
    guider = tiny_model().guider.eval()
    full, half = guider(*inputs()), guider(*inputs(), conditioning_scale=0.5)
    for one, other in zip(full, half, strict=True):
        assert torch.equal(one * 0.5, other)


@torch.no_grad()
def test_samples_do_not_mix():
    model = tiny_model().eval()
    latents, timesteps, condition = inputs(batch=3)
    together = model(latents, timesteps, condition)
    alone = [model(latents[i : i + 1], timesteps[i : i + 1], condition[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    swapped = model(latents, timesteps.flip(0), condition)
    assert not torch.allclose(together[0], swapped[0], atol=1e-4)
    scalar = model(latents, timesteps[1], condition)
    torch.testing.assert_close(scalar[1], together[1], atol=1e-5, rtol=1e-5)


def test_conditions_and_residuals_that_do_not_fit_are_refused():
    model = tiny_model()
    latents, timesteps, condition = inputs()
    residuals = model.guider(latents, timesteps, condition)
    with pytest.raises(ValueError, match=rf"{len(residuals)} tap points, got {len(residuals) - 1} residuals"):
        unet_with_residuals(model.unet, latents, timesteps, noise(2, 3, 8), residuals[:-1])
    with pytest.raises(ValueError, match=r"condition has 9 channels, this guider expects 5"):
        model.guider(*inputs(channels=9))


def test_from_unet_after_lora_is_refused():
    unet = UNet2DConditionModel(**UNET)
    add_lora(unet, 2, 2)
    with pytest.raises(ValueError, match="before LoRA layers are injected"):
        ColorizationGuider.from_unet(unet)
