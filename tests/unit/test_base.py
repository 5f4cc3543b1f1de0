"""The frozen base: built from a configuration, saved, loaded with and without a text encoder."""

import gc
import json
import re
import shutil
import weakref
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny.models import SCHEDULER, UNET, VAE, tiny_base
from transformers import CLIPTextConfig, CLIPTextModel

from colorflow.models.base import Base, load_base, random_base, save_base
from colorflow.models.families import build_base, find_family
from colorflow.models.sd import FAMILY as SD

START, END, MANGA = 0, 1, 2
LENGTH = 6


def write_text_side(folder: Path) -> CLIPTextModel:
    """A CLIP text encoder of 8 features and a tokenizer that knows one word, in diffusers' places."""
    vocabulary = {"<|startoftext|>": START, "<|endoftext|>": END, "manga</w>": MANGA}
    pieces = ["m", "a", "n", "g", "a</w>", "ma", "nga</w>", "ga</w>"]
    vocabulary |= {piece: number + 3 for number, piece in enumerate(pieces)}
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary))
    (tokenizer / "merges.txt").write_text("#version: 0.2\nm a\ng a</w>\nn ga</w>\nma nga</w>\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "pad_token": "<|endoftext|>"}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocabulary),
                hidden_size=8,
                intermediate_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=LENGTH,
                bos_token_id=START,
                eos_token_id=END,
                pad_token_id=END,
            )
        ).eval()
    encoder.save_pretrained(folder / "text_encoder")
    return encoder


@pytest.fixture
def diffusers_folder(tmp_path: Path) -> Path:
    save_base(tiny_base(), tmp_path / "base")
    (tmp_path / "base" / "prompt_embeds.safetensors").unlink()
    write_text_side(tmp_path / "base")
    return tmp_path / "base"


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def assert_same(one: Base, other: Base) -> None:
    assert same_weights(one.vae, other.vae)
    assert same_weights(one.network, other.network)
    assert torch.equal(one.prompt_embeds, other.prompt_embeds)
    assert torch.equal(one.negative_prompt_embeds, other.negative_prompt_embeds)
    assert torch.equal(one.scheduler.alphas_cumprod, other.scheduler.alphas_cumprod)
    assert one.scheduler.config.prediction_type == other.scheduler.config.prediction_type
    assert one.vae.config.scaling_factor == other.vae.config.scaling_factor


def test_random_base_depends_on_its_seed_alone():
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = tiny_base(seed=7)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator was moved"
    torch.manual_seed(2)
    second, other = tiny_base(seed=7), tiny_base(seed=8)
    assert_same(first, second)
    assert not same_weights(first.network, other.network)
    assert not same_weights(first.vae, other.vae)
    assert first.prompt_embeds.shape == first.negative_prompt_embeds.shape == (1, 3, 8)
    assert not torch.equal(first.prompt_embeds, first.negative_prompt_embeds)
    assert (first.source, first.revision) == ("random", None)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_save_and_load(tmp_path, prediction_type):
    base = tiny_base(prediction_type=prediction_type)
    save_base(base, tmp_path)
    loaded = load_base(SD, str(tmp_path))
    assert_same(base, loaded)
    assert loaded.source == str(tmp_path)
    assert loaded.scheduler.config.prediction_type == prediction_type


def test_a_saved_base_does_not_tell_where_it_came_from(tmp_path):
    save_base(tiny_base(), tmp_path / "first")
    save_base(load_base(SD, tmp_path / "first"), tmp_path / "second")
    for file in (tmp_path / "second").rglob("*.json"):
        assert str(tmp_path) not in file.read_text()


def test_load_without_prompt_and_in_bfloat16(tmp_path):
    base = tiny_base()
    save_base(base, tmp_path)
    loaded = load_base(SD, str(tmp_path), prompt="")
    assert torch.equal(loaded.prompt_embeds, base.negative_prompt_embeds)
    assert torch.equal(loaded.negative_prompt_embeds, base.negative_prompt_embeds)
    save_base(base, tmp_path)
    loaded = load_base(SD, str(tmp_path), dtype=torch.bfloat16)
    parameters = [*loaded.vae.parameters(), *loaded.network.parameters()]
    assert {parameter.dtype for parameter in parameters} == {torch.bfloat16}
    assert torch.equal(loaded.network.conv_in.weight, base.network.conv_in.weight.bfloat16())
    assert loaded.prompt_embeds.dtype == torch.float32
    with pytest.raises(ValueError, match="prompt"):
        load_base(SD, str(tmp_path), prompt="watercolour")


@torch.no_grad()
def test_prompt_is_encoded_once(diffusers_folder):
    encoder = CLIPTextModel.from_pretrained(diffusers_folder / "text_encoder").eval()
    expected = encoder(torch.tensor([[START, MANGA] + [END] * (LENGTH - 2), [START] + [END] * (LENGTH - 1)]))[0]
    assert not torch.allclose(expected[0], expected[1], atol=1e-3)
    loaded = load_base(SD, str(diffusers_folder))
    assert loaded.prompt_embeds.shape == (1, LENGTH, 8)
    torch.testing.assert_close(loaded.prompt_embeds[0], expected[0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(loaded.negative_prompt_embeds[0], expected[1], atol=1e-6, rtol=1e-6)
    assert not loaded.prompt_embeds.requires_grad
    empty = load_base(SD, str(diffusers_folder), prompt="")
    torch.testing.assert_close(empty.prompt_embeds, loaded.negative_prompt_embeds)


def test_text_encoder_is_dropped_and_stored_embeddings_need_none(diffusers_folder, tmp_path, monkeypatch):
    encoders: list[weakref.ref] = []
    load = CLIPTextModel.from_pretrained

    def watched(*args: object, **kwargs: object) -> CLIPTextModel:
        encoder = load(*args, **kwargs)
        encoders.append(weakref.ref(encoder))
        return encoder

    monkeypatch.setattr(transformers.CLIPTextModel, "from_pretrained", watched)
    base = load_base(SD, str(diffusers_folder))
    gc.collect()
    assert len(encoders) == 1
    assert encoders[0]() is None
    assert base.prompt_embeds.shape == (1, LENGTH, 8)
    save_base(base, tmp_path / "kept")
    monkeypatch.setattr(transformers.CLIPTextModel, "from_pretrained", lambda *a, **k: pytest.fail("loaded"))
    assert_same(load_base(SD, str(tmp_path / "kept")), base)


def assert_one_clear_line(error: Exception, source: str) -> None:
    text = str(error)
    assert "\n" not in text
    assert source in text
    assert all(part in text for part in ("expected", "got", "weights=FOLDER", "weights=random"))


@pytest.mark.parametrize("source", ["nothing/here", "no-such-owner/no-such-model", "/nonexistent/folder"])
def test_missing_source(source):
    with pytest.raises(FileNotFoundError) as caught:
        load_base(SD, source)
    assert_one_clear_line(caught.value, source)


PARTS = ["vae", "unet", "scheduler", "tokenizer", "text_encoder"]
WEIGHTS = [f"{part}/*.safetensors" for part in ("vae", "unet", "text_encoder")]


@pytest.mark.parametrize(
    "part", [*PARTS, *WEIGHTS, "tokenizer/[vm]*"]
)  # vocabulary and merges: all words were one token
def test_missing_part(diffusers_folder, part):
    for path in list(diffusers_folder.glob(part)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_base(SD, str(diffusers_folder))
    assert_one_clear_line(caught.value, str(diffusers_folder))


@pytest.mark.parametrize("part", ["vae", "unet"])
@pytest.mark.parametrize("kind", ["missing", "extra"])
def test_damaged_weights(tmp_path, part, kind):
    save_base(tiny_base(), tmp_path)
    file = tmp_path / part / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    if kind == "missing":
        del tensors[min(tensors)]
    else:
        tensors["nowhere.weight"] = torch.zeros(1)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises((FileNotFoundError, ValueError), match=r"missing|unexpected"):
        load_base(SD, str(tmp_path))


def test_a_base_by_its_configuration(tmp_path):
    random = {"vae": VAE, "unet": UNET, "scheduler": SCHEDULER, "tokens": 3, "seed": 0}
    assert_same(build_base("random", "never/loaded", random, "sd"), tiny_base())
    half = build_base("random", "never/loaded", random, "sd", dtype="bfloat16")
    assert (half.vae.dtype, half.network.dtype) == (torch.bfloat16, torch.bfloat16)
    save_base(tiny_base(seed=1), tmp_path / "family")
    save_base(tiny_base(seed=2), tmp_path / "other")
    own = build_base("pretrained", str(tmp_path / "family"), random, "sd")
    assert_same(own, tiny_base(seed=1))
    assert_same(build_base(str(tmp_path / "other"), str(tmp_path / "family"), random, "sd"), tiny_base(seed=2))
    with pytest.raises(ValueError, match=r"random base: expected the entries .*'unet', 'vae'\], got \['vae'\]"):
        random_base(SD, {"vae": VAE})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pixar", "expected one of pixart, sd, toon, or the dotted name of a module with FAMILY, got 'pixar'; did"),
        ("lora", "got 'lora'"),
        ("nowhere.at_all", "got 'nowhere.at_all'"),
        ("json.decoder", "got 'json.decoder'"),
        ("../sd", "got '../sd'"),
        ("colorflow.models.sd", "expected FAMILY of colorflow.models.sd to have that name, got 'sd'; rename it"),
    ],
)
def test_unknown_families(name, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        find_family(name)
    assert "\n" not in str(caught.value)


def test_a_family_that_lacks_a_dependency_says_so(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "family.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        find_family("theirs.family")
