"""The export folder: what is written is what is read, damage is named, a failed save costs nothing."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file, save_file
from tiny.comics import draw_page
from tiny.models import PAGE_SIZE, inputs, tiny_base, tiny_model, tiny_pipeline, tiny_pixart_model
from torch import Tensor

from colorflow.models.base import save_base
from colorflow.models.icp_model import ICPModel
from colorflow.models.sd import FAMILY as SD
from colorflow.pipelines import export
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.export import load_export, save_export
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.recipes import RELEASED, Recipe
from colorflow.retrieval.settings import RetrievalSettings, build_retriever

HOG = RetrievalSettings(kind="hog")
INDEX = "model_index.json"
GUIDER = "guider/diffusion_pytorch_model.safetensors"
LORA = "lora/adapter_model.safetensors"


@pytest.fixture(scope="module")
def model() -> ICPModel:
    """Guider taps and LoRA B are random: zeros would survive anything."""
    return tiny_model().eval()


@pytest.fixture(scope="module")
def other() -> ICPModel:
    return tiny_model(9).eval()


@pytest.fixture(scope="module")
def pristine(model: ICPModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "export"
    save_export(model, folder, PAGE_SIZE, HOG)
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "export")


@torch.no_grad()
def predict(model: ICPModel) -> Tensor:
    """Of a frozen copy: torch adds in another order where a weight requires gradients (differences of 5e-7)."""
    frozen = copy.deepcopy(model).requires_grad_(False)
    return frozen(*inputs(channels=model.guider.config.conditioning_channels))


def assert_same(one: ICPModel, other: ICPModel) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key
    assert torch.equal(one.prompt_embeds, other.prompt_embeds)
    assert torch.equal(one.negative_prompt_embeds, other.negative_prompt_embeds)


@pytest.mark.parametrize(("channels", "prediction_type"), [(5, "epsilon"), (9, "v_prediction")])
def test_round_trip(tmp_path, channels, prediction_type):
    model = tiny_model(channels, base=tiny_base(prediction_type=prediction_type)).eval()
    save_export(model, tmp_path / "export", PAGE_SIZE, HOG)
    loaded = load_export(tmp_path / "export")
    assert_same(model, loaded.model)
    assert torch.equal(predict(model), predict(loaded.model)), "same weights, another scale"
    assert loaded.page_size == PAGE_SIZE
    assert loaded.retrieval == HOG
    assert loaded.model.noise_scheduler.config.prediction_type == prediction_type
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    untrained = tiny_model(channels, trained=False).eval()
    assert not torch.allclose(predict(loaded.model), predict(untrained), atol=1e-2), "nothing was trained"


def test_pages_come_out_equal(model, pristine, tmp_path):
    references, page = [draw_page(1), draw_page(2)], draw_page(3)
    own = ColorFlowPipeline(tiny_pipeline(model), build_retriever(HOG), PAGE_SIZE)
    moved = shutil.copytree(pristine, tmp_path / "elsewhere")
    loaded = ColorFlowPipeline.from_pretrained(moved, recipe=Recipe(merge_lora=False))  # as in training
    other = ColorFlowPipeline.from_pretrained(str(moved), retrieval=RetrievalSettings(kind="none"))
    assert other.retriever.name == "none"
    assert loaded.page_size == PAGE_SIZE
    for sampling in (Sampling(3), Sampling(2, guidance_scale=3.0)):
        expected = own(page, references, seed=5, sampling=sampling)
        found = loaded(page, references, seed=5, sampling=sampling)
        assert found.retrieved == expected.retrieved
        assert np.array_equal(np.asarray(found.low_res), np.asarray(expected.low_res))


def test_layout(pristine):
    files = {str(path.relative_to(pristine)) for path in pristine.rglob("*") if path.is_file()}
    assert files >= {INDEX, GUIDER, "guider/config.json", LORA, "lora/adapter_config.json"}
    assert files >= {"scheduler/scheduler_config.json", "base/prompt_embeds.safetensors"}
    assert not any(name.endswith((".bin", ".ckpt", ".pt")) for name in files)
    assert not any("lora_" in key for key in load_file(pristine / "base/unet/diffusion_pytorch_model.safetensors"))
    index = json.loads((pristine / INDEX).read_text())
    assert index["_class_name"] == "ColorFlowPipeline"
    assert index["base"]["source"] == "base"


def test_load_in_bfloat16(pristine, model):
    loaded = load_export(pristine, torch.bfloat16).model
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    stored = model.guider.state_dict()
    assert all(torch.equal(value, stored[key].bfloat16()) for key, value in loaded.guider.state_dict().items())
    page = ColorFlowPipeline.from_pretrained(pristine, torch_dtype=torch.bfloat16)(
        draw_page(3), [draw_page(1)], sampling=Sampling(1)
    )
    assert page.image.size == PAGE_SIZE


def test_saving_leaves_the_model_as_it_was(tmp_path):
    model, reference = tiny_model().train(), tiny_model().train()
    save_export(model, tmp_path / "export", PAGE_SIZE, replace(HOG, device="cuda:3"))
    assert load_export(tmp_path / "export").retrieval.device == "cpu", "of training's"
    assert model.unet.training
    wants = [[value.requires_grad for value in item.parameters()] for item in (model, reference)]
    assert wants[0] == wants[1]
    assert_same(model, reference)


def test_new_export_replaces_the_old(folder, other):
    (folder / "left_over.txt").write_text("of the old one")
    save_export(other, folder, (64, 64), RetrievalSettings(kind="none"))
    loaded = load_export(folder)
    assert_same(other, loaded.model)
    assert loaded.page_size == (64, 64)
    assert not (folder / "left_over.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["export"]


@pytest.mark.parametrize("function", ["save_lora", "save_base", "write_json_atomic"])
def test_failed_save_keeps_the_old_export(folder, model, other, monkeypatch, function):
    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(export, function, full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_export(other, folder, (64, 64), HOG)
    assert [path.name for path in folder.parent.iterdir()] == ["export"], "a temporary folder was left behind"
    loaded = load_export(folder)
    assert_same(model, loaded.model)
    assert loaded.page_size == PAGE_SIZE


# Base by reference.


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    save_base(tiny_base(seed=4), tmp_path / "sd")
    return tmp_path / "sd"


def referring_model(base_folder: Path, prompt: str) -> ICPModel:
    return tiny_model(base=export.load_base(SD, str(base_folder), prompt=prompt)).eval()


@pytest.mark.parametrize("prompt", ["manga", ""])
def test_large_base_is_named_not_copied(base_folder, tmp_path, monkeypatch, prompt):
    monkeypatch.setattr(export, "SMALL_BASE", 0)
    model = referring_model(base_folder, prompt)
    model.noise_scheduler = DDPMScheduler.from_config(model.noise_scheduler.config, prediction_type="v_prediction")
    save_export(model, tmp_path / "export", PAGE_SIZE, HOG)
    assert not (tmp_path / "export" / "base").exists()
    entry = json.loads((tmp_path / "export" / INDEX).read_text())["base"]
    assert entry == {"source": str(base_folder), "revision": None, "prompt": prompt}
    loaded = load_export(tmp_path / "export").model
    assert_same(model, loaded)
    assert loaded.noise_scheduler.config.prediction_type == "v_prediction", "the schedule is the run's"
    shutil.rmtree(base_folder)
    with pytest.raises(FileNotFoundError, match="base weights: expected") as caught:
        load_export(tmp_path / "export")
    assert str(base_folder) in str(caught.value)


@pytest.mark.parametrize("prompt", ["manga", ""])
def test_small_base_is_copied(base_folder, tmp_path, prompt):
    model = referring_model(base_folder, prompt)
    save_export(model, tmp_path / "export", PAGE_SIZE, HOG)
    shutil.rmtree(base_folder)
    assert_same(model, load_export(tmp_path / "export").model)


def test_random_base_is_always_copied(model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "SMALL_BASE", 0)
    save_export(model, tmp_path / "export", PAGE_SIZE, HOG)
    assert_same(model, load_export(tmp_path / "export").model)


# Damage.


def rewrite(file: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def drop_one(tensors: dict[str, Tensor]) -> None:
    del tensors[max(tensors)]


def add_one(tensors: dict[str, Tensor]) -> None:
    tensors["nowhere.weight"] = torch.zeros(2)


def shorten_one(tensors: dict[str, Tensor]) -> None:
    tensors[max(tensors)] = tensors[max(tensors)][:-1].contiguous()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        pytest.param(GUIDER, drop_one, "1 missing", id="guider-missing"),
        pytest.param(GUIDER, add_one, "1 unexpected", id="guider-extra"),
        pytest.param(GUIDER, shorten_one, "shape", id="guider-shape"),
        pytest.param(LORA, drop_one, "1 missing", id="lora-missing"),
        pytest.param(LORA, add_one, "1 unexpected", id="lora-extra"),
        pytest.param(LORA, shorten_one, "1 of another shape", id="lora-shape"),
    ],
)
def test_damaged_weights_are_named(folder, part, change, message):
    rewrite(folder / part, change)
    with pytest.raises(ValueError, match=message) as caught:
        load_export(folder)
    assert message == "shape" or str(folder) in str(caught.value)


@pytest.mark.parametrize("place", ["nothing", "."])
def test_not_an_export_folder(tmp_path, place):
    with pytest.raises(FileNotFoundError, match=r"expected an export folder with model_index\.json, got .*; training"):
        load_export(tmp_path / place)


@pytest.mark.parametrize(
    "part",
    [
        *(INDEX, "guider", "guider/config.json", GUIDER, "lora", LORA),
        *("base", "base/vae", "base/unet", "base/scheduler", "base/prompt_embeds.safetensors"),
    ],
)
def test_missing_part_is_named(folder, part):
    missing = folder / part
    shutil.rmtree(missing) if missing.is_dir() else missing.unlink()
    with pytest.raises(FileNotFoundError, match=r"expected .*, got"):
        load_export(folder)


@pytest.mark.parametrize("content", ["{", '{"_class_name": "StableDiffusionPipeline"}'])
def test_foreign_index_is_named(folder, content):
    (folder / INDEX).write_text(content)
    with pytest.raises(ValueError, match=r"expected .*, got") as caught:
        load_export(folder)
    assert str(folder) in str(caught.value)


# The family.


def edit_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("family", ["sd", "pixart"])
def test_an_export_from_before_families_had_names(tmp_path, family):
    model = (tiny_model() if family == "sd" else tiny_pixart_model()).eval()
    index = tmp_path / "export" / INDEX
    save_export(model, index.parent, PAGE_SIZE, HOG)
    assert json.loads(index.read_text())["family"] == family
    edit_json(index, lambda content: content.pop("family"))
    loaded = load_export(index.parent).model
    assert loaded.family is model.family
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_an_export_of_an_unknown_family_is_refused(folder):
    edit_json(folder / INDEX, lambda index: index.update(family="sdd"))
    with pytest.raises(ValueError, match=r"family: expected one of pixart, sd, toon, or .*'sdd'; did you mean sd"):
        load_export(folder)
    edit_json(folder / INDEX, lambda index: index.pop("family"))
    edit_json(folder / "guider" / "config.json", lambda config: config.update(_class_name="ColorGuiderSDModel"))
    with pytest.raises(ValueError, match=r"expected the _class_name of a guider, .*got 'ColorGuiderSDModel'; released"):
        load_export(folder)


def test_an_export_says_how_many_steps_it_wants(tmp_path):
    """Where the recipe says none; also after saving again."""
    save_export(tiny_model().eval(), tmp_path / "one", PAGE_SIZE, HOG, num_inference_steps=2)
    pipeline = ColorFlowPipeline.from_pretrained(tmp_path / "one")
    pipeline.save_pretrained(tmp_path / "again")
    assert pipeline.sampling.steps == ColorFlowPipeline.from_pretrained(tmp_path / "again").sampling.steps == 2
    told = ColorFlowPipeline.from_pretrained(tmp_path / "one", recipe=RELEASED)
    assert told.sampling == RELEASED.sampling
    save_export(tiny_model().eval(), tmp_path / "none", PAGE_SIZE, HOG)
    assert ColorFlowPipeline.from_pretrained(tmp_path / "none").sampling.steps == 10
