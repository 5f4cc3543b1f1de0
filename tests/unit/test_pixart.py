"""The PixArt-alpha family: released keys, copies, zero start, where control joins, masks, sizes, compilation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, PixArtTransformer2DModel
from tiny_models import (
    PAGE_SIZE,
    PIXART_TARGETS,
    TRANSFORMER,
    inputs,
    noise,
    pixart_config,
    pixart_on_meta,
    randomize,
    released_keys,
    shapes,
    tiny_pipeline,
    tiny_pixart_base,
    tiny_pixart_model,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorflow.canvas import query_mask
from colorflow.models.base import load_base, save_base
from colorflow.models.families import build_base, build_icp_model
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.lora import add_lora
from colorflow.models.pixart_base import PixArtBase
from colorflow.models.pixart_guider import RELEASED_ALIAS, PixArtGuider
from colorflow.models.pixart_trunk import transformer_with_control
from colorflow.pipelines.export import load_export, save_export
from colorflow.pipelines.icp import PixArtICPPipeline, Sampling
from colorflow.pipelines.rap import RetrievalSettings

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
    """diffusers' own forward."""
    size = SIZE.expand(len(latents), 2)
    conditions = {"resolution": size, "aspect_ratio": size[:, :1] / size[:, 1:]}
    return transformer(latents, TEXT, timesteps, added_cond_kwargs=conditions, encoder_attention_mask=TEXT_MASK).sample


# Full size.


@pytest.mark.parametrize("channels", [5, 9])
def test_full_size_keys_and_shapes(channels: int) -> None:
    """The released list, but for the alias, which is one tensor under a second name."""
    released = released_keys(f"colorguider_pixart_cond{channels}")
    alias = {key for key in released if key.startswith(RELEASED_ALIAS)}
    assert (len(released), len(alias)) == (228, 2)
    own = shapes(pixart_on_meta(channels).guider.state_dict())
    assert own == {key: shape for key, shape in released.items() if key not in alias}


def test_full_size_base_and_lora() -> None:
    stored = pixart_on_meta().transformer.state_dict()
    plain = {key.replace(".base_layer.", "."): value for key, value in stored.items() if "lora_" not in key}
    assert shapes(plain) == released_keys("pixart_transformer_base")
    lora = {key: value for key, value in stored.items() if "lora_" in key}
    assert len(lora) == 582
    assert shapes(lora) == released_keys("pixart_lora_r128")


def test_full_size_counts() -> None:
    model, settings = pixart_on_meta(), pixart_config()
    assert len(model.guider.transformer_blocks) == len(model.guider.adapter_linear) == 14
    assert (settings["conditioning_channels"], settings["lora"]["r"], settings["lora"]["lora_alpha"]) == (9, 128, 128)
    assert tuple(settings["lora"]["target_modules"]) == PIXART_TARGETS
    assert round(sum(parameter.numel() for parameter in model.guider.parameters()) / 1e6, 1) == 251.9
    trained = {name: parameter.numel() for name, parameter in model.trainable()}
    assert round(sum(count for name, count in trained.items() if "lora_" in name) / 1e6, 1) == 110.5
    assert model.prompt_embeds.shape == (1, 120, 4096)


@pytest.mark.parametrize("channels", [5, 9])
def test_released_config_builds_the_same_guider(channels: int) -> None:
    released = released_keys(f"colorguider_pixart_cond{channels}_config", "colorflow_meta.json")
    with torch.device("meta"):
        guider = PixArtGuider.from_config(released)
    assert shapes(guider.state_dict()) == shapes(pixart_on_meta(channels).guider.state_dict())
    assert {block.attn1.heads for block in guider.transformer_blocks} == {released["num_attention_heads"]}
    assert guider.pos_embed.interpolation_scale == 2


def test_counted_cost_on_a_canvas() -> None:
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
def test_from_transformer(transformer: PixArtTransformer2DModel, channels: int) -> None:
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


def test_from_transformer_after_lora_is_refused(transformer: PixArtTransformer2DModel) -> None:
    add_lora(transformer, 2, 2, PIXART_TARGETS)
    with pytest.raises(ValueError, match="before LoRA layers are injected"):
        PixArtGuider.from_transformer(transformer)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), WIDE], ids=["square", "wide"])
def test_untrained_guider_changes_nothing(transformer: PixArtTransformer2DModel, size: tuple[int, int]) -> None:
    """Against diffusers' own forward: the walk adds in the same order."""
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
def test_control_joins_where_it_should(transformer: PixArtTransformer2DModel) -> None:
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
def test_size_is_a_condition() -> None:
    """Height and width are told apart; without additional conditions neither counts."""
    latents, timesteps, condition = inputs(channels=9)
    for switched in (True, False):
        guider = PixArtGuider.from_transformer(random_transformer(use_additional_conditions=switched)).eval()
        randomize(guider, "adapter_linear")
        one, other = (guider(latents, timesteps, condition, size)[-1] for size in (SIZE, SIZE.flip(0)))
        assert torch.allclose(one, other, atol=1e-6) != switched


def test_wrong_inputs_are_refused(transformer: PixArtTransformer2DModel) -> None:
    guider = PixArtGuider.from_transformer(transformer)
    latents, timesteps, condition = inputs(channels=5)
    with pytest.raises(ValueError, match="condition has 5 channels, this guider expects 9"):
        guider(latents, timesteps, condition, SIZE)
    latents, timesteps, condition = inputs(channels=9, size=(8, 9))
    with pytest.raises(ValueError, match="multiples of the patch size 2, got 9 x 8"):
        guider(latents, timesteps, condition, SIZE)
    with pytest.raises(ValueError, match="5 blocks, got 6 control tensors"):
        transformer_with_control(transformer, latents, timesteps, TEXT, TEXT_MASK, SIZE, [latents] * 6)


# The model.


@torch.no_grad()
def test_model_hands_on_size_mask_and_prompt() -> None:
    model = tiny_pixart_model().eval()
    latents, timesteps, condition = inputs(channels=9, size=WIDE)
    control = model.guider(latents, timesteps, condition, SIZE)
    text, mask = model.prompt_embeds.expand(2, -1, -1), model.prompt_mask.expand(2, -1)
    expected = transformer_with_control(model.transformer, latents, timesteps, text, mask, SIZE, control)
    found = model(latents, timesteps, condition)
    assert expected.shape[1] == 8
    assert torch.equal(found, expected[:, :4]), "the learned variance is left out; 8 pixels a latent"
    changed = model.prompt_embeds.clone()
    changed[:, int(model.prompt_mask.sum()) :] += 1
    model.prompt_embeds = changed
    assert torch.equal(model(latents, timesteps, condition), found), "padding must not count"
    model.prompt_embeds = changed + 1
    assert not torch.allclose(model(latents, timesteps, condition), found, atol=1e-4)


@torch.no_grad()
def test_samples_do_not_mix() -> None:
    model = tiny_pixart_model().eval()
    latents, timesteps, condition = inputs(batch=3, channels=9, size=WIDE)
    together = model(latents, timesteps, condition)
    alone = [model(latents[i : i + 1], timesteps[i : i + 1], condition[i : i + 1]) for i in range(3)]
    bound = 2e-5 * together.abs().max().item()  # random LoRA on every layer makes values of some hundreds inside
    torch.testing.assert_close(together, torch.cat(alone), atol=bound, rtol=0)
    scalar = model(latents, timesteps[1], condition)
    torch.testing.assert_close(scalar[1], together[1], atol=bound, rtol=0)
    assert not torch.allclose(scalar[0], together[0], atol=1e-4)


def gradients(model: ICPModel) -> dict[str, Tensor | None]:
    prediction = model(*inputs(channels=9))
    (prediction * noise(*prediction.shape, seed=8)).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_only_guider_and_lora_get_gradients() -> None:
    """The learned variance's rows of the output head and the last guider block's like have none, all else has."""
    model = tiny_pixart_model().train()
    found = gradients(model)
    trained = {name for name, _ in model.trainable()}
    assert trained == {name for name in found if name.startswith("guider.") or "lora_" in name}
    assert {name for name, gradient in found.items() if gradient is not None} == trained
    assert not [name for name in trained if not found[name].any()]


@pytest.mark.parametrize("networks", [["guider"], ["transformer"], ["guider", "transformer"]], ids="+".join)
def test_gradient_checkpointing_changes_no_gradient(networks: list[str]) -> None:
    plain = gradients(tiny_pixart_model().train())
    model = tiny_pixart_model().train()
    for name in networks:
        getattr(model, name).enable_gradient_checkpointing()
    calls = []
    for name in ("guider", "transformer"):
        block = getattr(model, name).transformer_blocks[0]
        block.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    found = gradients(model)
    for name, gradient in plain.items():
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=f"gradient of {name}")
    assert {name: calls.count(name) for name in set(calls)} == {
        name: 1 + (name in networks) for name in ("guider", "transformer")
    }


def test_compiles_without_a_graph_break() -> None:
    lora = LoraSettings(2, 4, ("to_q", "proj_out"))
    base = tiny_pixart_base(num_layers=3)
    model = tiny_pixart_model(base=base, lora=lora).eval()
    arguments = inputs(channels=9, size=WIDE)
    with torch.no_grad():
        expected = model(*arguments)
        torch._dynamo.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.compile(model, fullgraph=True, backend="eager")(*arguments)
        torch._dynamo.reset()
    torch.testing.assert_close(found, expected)


# Around it.


def test_families() -> None:
    random = dict(pixart_config()["base"]["random"])
    random |= {"transformer": TRANSFORMER, "tokens": 6}
    random["vae"] = random["vae"] | {"block_out_channels": [4, 4, 8, 8], "norm_num_groups": 4}
    base = build_base("random", "never/loaded", random, dtype="bfloat16", network="transformer")
    assert isinstance(base, PixArtBase)
    assert (base.vae.dtype, base.transformer.dtype) == (torch.bfloat16, torch.bfloat16)
    model = build_icp_model(base, LoraSettings(2, 2, PIXART_TARGETS), 9, ["transformer"])
    assert model.transformer.gradient_checkpointing
    assert not model.guider.gradient_checkpointing
    assert model.guider.dtype == torch.float32, "what is trained is kept in float32"
    with pytest.raises(ValueError, match=r"expected names among \['guider', 'transformer'\], got 'unet'"):
        build_icp_model(tiny_pixart_base(), LoraSettings(2, 2, PIXART_TARGETS), 9, ["unet"])


@pytest.mark.parametrize("prompt", ["manga", ""])
def test_base_is_saved_with_its_masks(tmp_path: Path, prompt: str) -> None:
    base = tiny_pixart_base()
    save_base(base, tmp_path)
    loaded = load_base(str(tmp_path), prompt=prompt, kind=PixArtBase)
    expected = base.prompt_embeds if prompt else base.negative_prompt_embeds
    mask = base.prompt_mask if prompt else base.negative_prompt_mask
    assert torch.equal(loaded.prompt_embeds, expected)
    assert torch.equal(loaded.prompt_mask, mask)
    assert torch.equal(loaded.negative_prompt_mask, base.negative_prompt_mask)
    assert shapes(loaded.transformer.state_dict()) == shapes(base.transformer.state_dict())


def test_base_of_another_family_is_refused(tmp_path: Path) -> None:
    save_base(tiny_pixart_base(), tmp_path)
    with pytest.raises(FileNotFoundError, match="unet/"):
        load_base(str(tmp_path))


@torch.no_grad()
def test_export_round_trip(tmp_path: Path) -> None:
    model = tiny_pixart_model().eval()
    save_export(model, tmp_path / "export", PAGE_SIZE, RetrievalSettings(kind="hog"))
    loaded = load_export(tmp_path / "export").model
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    model.requires_grad_(False)
    arguments = inputs(channels=9, size=WIDE)
    torch.testing.assert_close(loaded(*arguments), model(*arguments), atol=1e-6, rtol=1e-6)
    text = loaded.prompt_mask, loaded.negative_prompt_mask
    assert all(torch.equal(*pair) for pair in zip(text, (model.prompt_mask, model.negative_prompt_mask), strict=True))


def test_pipeline_conventions() -> None:
    pipeline = tiny_pipeline(tiny_pixart_model())
    assert isinstance(pipeline, PixArtICPPipeline)
    assert isinstance(pipeline, DiffusionPipeline)
    assert set(pipeline.components) >= {"vae", "transformer", "guider", "scheduler"}
    with pytest.raises(ValueError, match="expected prompt_mask and negative_prompt_mask"):
        PixArtICPPipeline(pipeline.vae, pipeline.transformer, pipeline.guider, pipeline.scheduler)


@pytest.mark.parametrize("scale", [1.0, 4.5])
def test_pages_do_not_depend_on_their_batch(scale: float) -> None:
    """With guidance as released, or without (which the released code cannot do)."""
    pipeline = tiny_pipeline(tiny_pixart_model())
    canvas = noise(2, 3, 2 * PAGE_SIZE[1], 2 * PAGE_SIZE[0]).clamp(-1, 1)
    sampling, mask = Sampling(2, guidance_scale=scale), query_mask(PAGE_SIZE)[None]
    together = pipeline(canvas, mask, sampling, generator=[torch.Generator().manual_seed(i) for i in range(2)])
    alone = pipeline(canvas[1:], mask, sampling, generator=[torch.Generator().manual_seed(1)])
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.01
