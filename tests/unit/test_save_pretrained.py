"""A loaded pipeline, written and read again: the same bits, wherever it came from and whatever was done to it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.comics import draw_page
from tiny.models import PAGE_SIZE, tiny_base, tiny_model, tiny_pipeline, tiny_pixart_model
from tiny.recipes import fusion
from torch import Tensor

from colorflow.models.base import save_base
from colorflow.models.lora import has_lora, merge_lora
from colorflow.models.sd import FAMILY as SD
from colorflow.pipelines import export
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.export import load_export, save_export
from colorflow.pipelines.icp import Sampling
from colorflow.retrieval.settings import RetrievalSettings, build_retriever

HOG = RetrievalSettings(kind="hog")
FAST = Sampling(num_inference_steps=1)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "export"
    save_export(tiny_model().eval(), folder, PAGE_SIZE, HOG, fusion("running", "bicubic"))
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "export")


def weights(folder: Path) -> dict[str, Tensor]:
    found = load_export(folder)
    tensors = found.model.state_dict()
    for name in ("prompt_embeds", "negative_prompt_embeds", "prompt_mask", "negative_prompt_mask"):
        if getattr(found.model, name) is not None:
            tensors[name] = getattr(found.model, name)
    return tensors | ({} if found.gsrp is None else {f"gsrp.{key}": v for key, v in found.gsrp.state_dict().items()})


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key
    index, again = (json.loads((path / "model_index.json").read_text()) for path in (one, other))
    assert index == again


def picture(pipe: ColorFlowPipeline) -> np.ndarray:
    page: Image.Image = draw_page(3, (40, 60))
    return np.asarray(pipe(page, [draw_page(1)], seed=5, sampling=FAST).image)


@pytest.mark.parametrize("make", [tiny_model, tiny_pixart_model])
@pytest.mark.parametrize("net", [None, fusion], ids=["icp", "gsrp"])
def test_round_trip(tmp_path, make, net):
    save_export(make().eval(), tmp_path / "one", PAGE_SIZE, HOG, net and net("running", "bicubic"))
    pipe = ColorFlowPipeline.from_pretrained(tmp_path / "one")
    pipe.save_pretrained(str(tmp_path / "two"))
    assert_same(tmp_path / "one", tmp_path / "two")
    shutil.rmtree(tmp_path / "one")
    assert np.array_equal(picture(ColorFlowPipeline.from_pretrained(tmp_path / "two")), picture(pipe))
    for file in (tmp_path / "two").rglob("*.json"):
        assert str(tmp_path) not in file.read_text(), f"{file}: a path of this machine"


def test_over_its_own_folder_and_in_bfloat16(folder, pristine, tmp_path):
    ColorFlowPipeline.from_pretrained(folder).save_pretrained(folder)
    assert_same(folder, pristine)
    assert [path.name for path in folder.parent.iterdir()] == ["export"]
    pipe = ColorFlowPipeline.from_pretrained(folder, torch.bfloat16)
    pipe.save_pretrained(tmp_path / "two")
    again = ColorFlowPipeline.from_pretrained(tmp_path / "two", torch.bfloat16)
    assert np.array_equal(picture(again), picture(pipe))


def test_changes_are_kept(folder, tmp_path):
    pipe = ColorFlowPipeline.from_pretrained(folder, retrieval=RetrievalSettings(kind="random"))
    pipe.page_size, pipe.gsrp = (64, 64), None
    with torch.no_grad():
        pipe.icp.model.guider.conv_in_condition.bias += 1
    pipe.save_pretrained(tmp_path / "two")
    found = load_export(tmp_path / "two")
    assert (found.page_size, found.retrieval.kind, found.gsrp) == ((64, 64), "random", None)
    assert torch.equal(found.model.guider.conv_in_condition.bias, pipe.icp.model.guider.conv_in_condition.bias)


def test_super_resolution_of_another_folder_comes_along(folder, pristine, tmp_path):
    shutil.rmtree(folder / "gsrp")
    ColorFlowPipeline.from_pretrained(folder, gsrp=pristine).save_pretrained(tmp_path / "two")
    assert_same(tmp_path / "two", pristine)


@pytest.mark.parametrize("size", ["small", "large"])
def test_merged_lora_is_written_unmerged(tmp_path, monkeypatch, size):
    save_base(tiny_base(seed=4), tmp_path / "sd")
    if size == "large":
        monkeypatch.setattr(export, "SMALL_BASE", 0)
    model = tiny_model(base=export.load_base(SD, str(tmp_path / "sd"))).eval()
    save_export(model, tmp_path / "one", PAGE_SIZE, HOG)
    assert (tmp_path / "one" / "base").is_dir() == (size == "small")
    pipe = ColorFlowPipeline.from_pretrained(tmp_path / "one")
    merge_lora(pipe.icp.model.network)
    assert not has_lora(pipe.icp.model.network)
    pipe.save_pretrained(tmp_path / "two")
    assert_same(tmp_path / "one", tmp_path / "two")
    pipe.save_pretrained(tmp_path / "one")
    assert_same(tmp_path / "one", tmp_path / "two")
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(FileNotFoundError, match=r"expected .*lora to copy .* keep the folder, or load it without merg"):
        pipe.save_pretrained(tmp_path / "three")
    assert not (tmp_path / "three").exists()


def test_an_encoder_in_the_folder_comes_along(folder, tmp_path):
    """As `python -m colorflow.checkpoints import` writes it; elsewhere it is named, not copied."""
    index = json.loads((folder / "model_index.json").read_text())
    for name, path in (("image_encoder", folder), ("outside", tmp_path)):
        (path / name).mkdir()
        (path / name / "config.json").write_text("{}")
        settings = {"kind": "clip", "folder": name if path == folder else str(path / name)}
        (folder / "model_index.json").write_text(json.dumps(index | {"retrieval": settings}))
        loaded = load_export(folder)
        assert loaded.retrieval.folder == str(path / name)
        export.save_loaded(loaded, tmp_path / "two", loaded.page_size, loaded.gsrp)
        assert (tmp_path / "two" / name / "config.json").is_file() == (path == folder)
        written = json.loads((tmp_path / "two" / "model_index.json").read_text())["retrieval"]
        assert written["folder"] == settings["folder"]
        moved = tmp_path / "two" if path == folder else path
        assert load_export(tmp_path / "two").retrieval == replace(loaded.retrieval, folder=str(moved / name))


def test_a_pipeline_made_of_parts_is_refused(tmp_path):
    pipe = ColorFlowPipeline(tiny_pipeline(), build_retriever(HOG), PAGE_SIZE)
    with pytest.raises(ValueError, match="expected a pipeline made by from_pretrained"):
        pipe.save_pretrained(tmp_path / "two")
    assert not (tmp_path / "two").exists()
