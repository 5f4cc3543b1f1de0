"""The PixArt-alpha guider and the walk that adds its tokens: keys, copies, zero start, where control joins."""

from collections.abc import Callable, Sequence

import pytest
import torch
from diffusers import PixArtTransformer2DModel
from tiny.models import (
    PIXART_TARGETS,
    TRANSFORMER,
    inputs,
    noise,
    pixart_config,
    pixart_on_meta,
    randomize,
    released_keys,
    shapes,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorflow.models.lora import add_lora
from colorflow.models.pixart.guider import RELEASED_ALIAS, PixArtGuider
from colorflow.models.pixart.trunk import transformer_with_control

WIDE = (8, 12)
SIZE = torch.tensor([64.0, 96.0])
TEXT, TEXT_MASK = noise(2, 6, 8, seed=4), torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])


def random_transformer(**changes: object) -> PixArtTransformer2DModel:
    """Every parameter random, so that nothing can look copied that is not."""
    transformer = PixArtTransformer2DModel(**TRANSFORMER | changes).eval()
    randomize(transformer, "", scale=0.2)
    return transformer


@pytest.fixture
def transformer() -> PixArtTransformer2DModel:
    return random_transformer()


def own_forward(transformer: PixArtTransformer2DModel, latents: Tensor, timesteps: Tensor) -> Tensor:
    size = SIZE.expand(len(latents), 2)
    conditions = {"resolution": size, "aspect_ratio": size[:, :1] / size[:, 1:]}
    return transformer(latents, TEXT, timesteps, added_cond_kwargs=conditions, encoder_attention_mask=TEXT_MASK).sample


# Full size.


@pytest.mark.parametrize("channels", [5, 9])
def test_full_size_keys_and_shapes(channels):
    """The released list, but for the alias, which is one tensor under a second name."""
    released = released_keys(f"colorguider_pixart_cond{channels}")
    alias = {key for key in released if key.startswith(RELEASED_ALIAS)}
    assert (len(released), len(alias)) == (228, 2)
    own = shapes(pixart_on_meta(channels).guider.state_dict())
    assert own == {key: shape for key, shape in released.items() if key not in alias}


def test_full_size_base_lora_and_counts():
    stored = pixart_on_meta().transformer.state_dict()
    plain = {key.replace(".base_layer.", "."): value for key, value in stored.items() if "lora_" not in key}
    assert shapes(plain) == released_keys("pixart_transformer_base")
    lora = {key: value for key, value in stored.items() if "lora_" in key}
    assert len(lora) == 582
    assert shapes(lora) == released_keys("pixart_lora_r128")
    model, settings = pixart_on_meta(), pixart_config()
    assert len(model.guider.transformer_blocks) == len(model.guider.adapter_linear) == 14
    assert (settings["conditioning_channels"], settings["lora"]["r"], settings["lora"]["lora_alpha"]) == (9, 128, 128)
    assert tuple(settings["lora"]["target_modules"]) == PIXART_TARGETS
    assert round(sum(parameter.numel() for parameter in model.guider.parameters()) / 1e6, 1) == 251.9
    trained = {name: value.numel() for name, value in model.named_parameters() if value.requires_grad}
    assert round(sum(count for name, count in trained.items() if "lora_" in name) / 1e6, 1) == 110.5
    assert model.prompt_embeds.shape == (1, 120, 4096)


@pytest.mark.parametrize("channels", [5, 9])
def test_released_config_builds_the_same_guider(channels):
    released = released_keys(f"colorguider_pixart_cond{channels}_config", "colorflow_meta.json")
    with torch.device("meta"):
        guider = PixArtGuider.from_config(released)
    assert shapes(guider.state_dict()) == shapes(pixart_on_meta(channels).guider.state_dict())
    assert {block.attn1.heads for block in guider.transformer_blocks} == {released["num_attention_heads"]}
    assert guider.pos_embed.interpolation_scale == 2


def test_counted_cost_on_a_canvas():
    """On the canvas of a 512 x 800 page, against the sum by hand (and the experiment's head)."""
    model, text = pixart_on_meta(), torch.empty(1, 120, 4096, device="meta")
    latents, condition = (torch.empty(1, channels, 200, 128, device="meta") for channels in (4, 9))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(latents, torch.zeros(1, dtype=torch.long, device="meta"), condition, text)
    tokens, width = 64 * 100, 1152
    attention = 2 * tokens * width  # scores and sums; multiply-adds a token
    base = 28 * ((4 + 8 + 2) * width**2 + attention)  # self-attention, feed-forward, query and output of text attention
    guider = 14 * ((4 + 8 + 1) * width**2 + attention)
    lora = 28 * 128 * ((8 + 4) * width + 2 * 5 * width)  # eight and four: attn1 and attn2; five: in and out of ff
    assert counter.get_total_flops() / 1e12 == pytest.approx(18.97, rel=0.001)
    assert 2 * tokens * (base + guider + lora) / 1e12 == pytest.approx(18.97, rel=0.01)


# The guider.


@pytest.mark.parametrize("channels", [5, 9])
def test_from_transformer(transformer, channels):
    guider = PixArtGuider.from_transformer(transformer, channels)
    source, own = transformer.state_dict(), guider.state_dict()
    shared = own.keys() & source.keys() - {"pos_embed.proj.weight"}
    for key in shared:
        assert torch.equal(own[key], source[key]), key
        assert own[key].data_ptr() != source[key].data_ptr(), f"{key} is shared, not copied"
    assert all(key.startswith("adapter_linear.") for key in own.keys() - shared - {"pos_embed.proj.weight"})
    assert len(guider.transformer_blocks) == 2, "half of five, rounded down"
    weight = guider.pos_embed.proj.weight
    assert weight.shape[1] == 4 + channels
    assert torch.equal(weight[:, :4], transformer.pos_embed.proj.weight)
    assert torch.equal(weight[:, 4:8], transformer.pos_embed.proj.weight)
    assert not weight[:, 8:].any()
    assert not any(value.any() for key, value in own.items() if key.startswith("adapter_linear."))
    assert not any(".attn2." in key for key in own)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), WIDE], ids=["square", "wide"])
def test_untrained_guider_changes_nothing(transformer, size):
    guider = PixArtGuider.from_transformer(transformer).eval()
    latents, timesteps, condition = inputs(channels=9, size=size)
    control = guider(latents, timesteps, condition, SIZE)
    expected = own_forward(transformer, latents, timesteps)
    for added in (control, ()):
        found = transformer_with_control(transformer, latents, timesteps, TEXT, TEXT_MASK, SIZE, added)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def with_hooks(transformer: PixArtTransformer2DModel, control: Sequence[Tensor], run: Callable[[], Tensor]) -> Tensor:
    """The addition written a second time, as hooks on diffusers' own forward."""

    def adder(added: Tensor) -> Callable[..., Tensor]:
        return lambda module, args, output: output + added

    blocks: Sequence[nn.Module] = transformer.transformer_blocks
    handles = [block.register_forward_hook(adder(added)) for block, added in zip(blocks, control, strict=False)]
    try:
        return run()
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def test_control_joins_where_it_should(transformer):
    guider = PixArtGuider.from_transformer(transformer).eval()
    randomize(guider, "adapter_linear")
    latents, timesteps, condition = inputs(channels=9, size=WIDE)
    control = guider(latents, timesteps, condition, SIZE)
    assert len(control) == 2
    expected = with_hooks(transformer, control, lambda: own_forward(transformer, latents, timesteps))
    found = transformer_with_control(transformer, latents, timesteps, TEXT, TEXT_MASK, SIZE, control)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, own_forward(transformer, latents, timesteps), atol=1e-2)
    half = guider(latents, timesteps, condition, SIZE, conditioning_scale=0.5)
    assert all(torch.equal(one * 0.5, other) for one, other in zip(control, half, strict=True))


@torch.no_grad()
def test_size_is_a_condition():
    latents, timesteps, condition = inputs(channels=9)
    for switched in (True, False):
        guider = PixArtGuider.from_transformer(random_transformer(use_additional_conditions=switched)).eval()
        randomize(guider, "adapter_linear")
        one, other = (guider(latents, timesteps, condition, size)[-1] for size in (SIZE, SIZE.flip(0)))
        assert torch.allclose(one, other, atol=1e-6) != switched


def test_wrong_inputs_are_refused(transformer):
    guider = PixArtGuider.from_transformer(transformer)
    latents, timesteps, condition = inputs(channels=5)
    with pytest.raises(ValueError, match="condition has 5 channels, this guider expects 9"):
        guider(latents, timesteps, condition, SIZE)
    latents, timesteps, condition = inputs(channels=9, size=(8, 9))
    with pytest.raises(ValueError, match="multiples of the patch size 2, got 9 x 8"):
        guider(latents, timesteps, condition, SIZE)
    with pytest.raises(ValueError, match="5 blocks, got 6 control tensors"):
        transformer_with_control(transformer, latents, timesteps, TEXT, TEXT_MASK, SIZE, [latents] * 6)
    add_lora(transformer, 2, 2, PIXART_TARGETS)
    with pytest.raises(ValueError, match="before LoRA layers are injected"):
        PixArtGuider.from_transformer(transformer)
