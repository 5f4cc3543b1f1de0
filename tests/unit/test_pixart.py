"""The PixArt-alpha model and what is around it: masks, sizes, gradients, compilation, files, pipeline."""

import warnings
from pathlib import Path

import pytest
import torch
from tiny.models import (
    PAGE_SIZE,
    PIXART_TARGETS,
    TRANSFORMER,
    inputs,
    noise,
    pixart_config,
    shapes,
    tiny_pipeline,
    tiny_pixart_base,
    tiny_pixart_model,
)
from torch import Tensor

from colorflow.canvas import query_mask
from colorflow.models.base import load_base, save_base
from colorflow.models.families import build_base, build_icp_model
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.pixart import FAMILY as PIXART
from colorflow.models.pixart.trunk import transformer_with_control
from colorflow.models.sd import FAMILY as SD
from colorflow.pipelines.export import load_export, save_export
from colorflow.pipelines.icp import Sampling
from colorflow.retrieval.settings import RetrievalSettings

WIDE = (8, 12)
SIZE = torch.tensor([64.0, 96.0])
TEXT, TEXT_MASK = noise(2, 6, 8, seed=4), torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])


# The model.


@torch.no_grad()
def test_model_hands_on_size_mask_and_prompt():
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
def test_samples_do_not_mix():
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


def test_only_guider_and_lora_get_gradients():
    model = tiny_pixart_model().train()
    found = gradients(model)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {name for name in found if name.startswith("guider.") or "lora_" in name}
    assert {name for name, gradient in found.items() if gradient is not None} == trained
    assert not [name for name in trained if not found[name].any()]


@pytest.mark.parametrize("networks", [["guider"], ["transformer"], ["guider", "transformer"]], ids="+".join)
def test_gradient_checkpointing_changes_no_gradient(networks):
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
    assert all(calls.count(name) == 1 + (name in networks) for name in ("guider", "transformer"))


def test_compiles_without_a_graph_break():
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


def test_families():
    random = dict(pixart_config()["base"]["random"])
    random |= {"transformer": TRANSFORMER, "tokens": 6}
    random["vae"] = random["vae"] | {"block_out_channels": [4, 4, 8, 8], "norm_num_groups": 4}
    base = build_base("random", "never/loaded", random, dtype="bfloat16", family="pixart")
    assert base.family is PIXART
    assert (base.vae.dtype, base.network.dtype) == (torch.bfloat16, torch.bfloat16)
    model = build_icp_model(base, LoraSettings(2, 2, PIXART_TARGETS), 9, ["transformer"])
    assert model.transformer.gradient_checkpointing
    assert not model.guider.gradient_checkpointing
    assert model.guider.dtype == torch.float32, "what is trained is kept in float32"
    with pytest.raises(ValueError, match=r"expected names among \['guider', 'transformer'\], got 'unet'"):
        build_icp_model(tiny_pixart_base(), LoraSettings(2, 2, PIXART_TARGETS), 9, ["unet"])


@pytest.mark.parametrize("prompt", ["manga", ""])
def test_base_is_saved_with_its_masks(tmp_path, prompt):
    base = tiny_pixart_base()
    save_base(base, tmp_path)
    loaded = load_base(PIXART, str(tmp_path), prompt=prompt)
    expected = base.prompt_embeds if prompt else base.negative_prompt_embeds
    mask = base.prompt_mask if prompt else base.negative_prompt_mask
    assert torch.equal(loaded.prompt_embeds, expected)
    assert torch.equal(loaded.prompt_mask, mask)
    assert torch.equal(loaded.negative_prompt_mask, base.negative_prompt_mask)
    assert shapes(loaded.network.state_dict()) == shapes(base.network.state_dict())
    with pytest.raises(FileNotFoundError, match="unet/"):
        load_base(SD, str(tmp_path))


def write_text_side(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "manga": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder / "tokenizer")
    small = T5Config(vocab_size=6, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5EncoderModel(small).save_pretrained(folder / "text_encoder")


def test_prompt_is_encoded_once(tmp_path):
    """120 tokens and their masks, from the base's own text side; what is then saved needs it no more."""
    save_base(tiny_pixart_base(), tmp_path / "base")
    (tmp_path / "base" / "prompt_embeds.safetensors").unlink()
    write_text_side(tmp_path / "base")
    base = load_base(PIXART, str(tmp_path / "base"))
    assert base.prompt_embeds.shape == base.negative_prompt_embeds.shape == (1, 120, 8)
    assert (int(base.prompt_mask.sum()), int(base.negative_prompt_mask.sum())) == (2, 1), "a word and the end; the end"
    spaced = load_base(PIXART, str(tmp_path / "base"), prompt=" Manga ")
    assert torch.equal(spaced.prompt_embeds, base.prompt_embeds)
    other = load_base(PIXART, str(tmp_path / "base"), prompt="unknown")
    assert not torch.allclose(other.prompt_embeds, base.prompt_embeds)
    save_base(base, tmp_path / "saved")
    again = load_base(PIXART, str(tmp_path / "saved"))
    assert torch.equal(again.prompt_embeds, base.prompt_embeds)
    assert torch.equal(again.prompt_mask, base.prompt_mask)


@torch.no_grad()
def test_export_round_trip(tmp_path):
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


@pytest.mark.parametrize("scale", [1.0, 4.5])
def test_pages_do_not_depend_on_their_batch(scale):
    pipeline = tiny_pipeline(tiny_pixart_model())
    canvas = noise(2, 3, 2 * PAGE_SIZE[1], 2 * PAGE_SIZE[0]).clamp(-1, 1)
    sampling, mask = Sampling(2, guidance_scale=scale), query_mask(PAGE_SIZE)[None]
    together = pipeline(canvas, mask, sampling, generator=[torch.Generator().manual_seed(i) for i in range(2)])
    alone = pipeline(canvas[1:], mask, sampling, generator=[torch.Generator().manual_seed(1)])
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.01
