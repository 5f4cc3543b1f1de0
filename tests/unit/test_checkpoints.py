"""Released checkpoints to export folders and back: key sets, round trips bit for bit, and a table of damage."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny.checkpoints import (
    BIN,
    CLASS,
    GSRP,
    LORA_FILE,
    SAFE,
    WIDTHS,
    Tensors,
    assert_equal,
    drop_last,
    edit_config,
    fusion_tensors,
    rewrite,
    tiny,
    write_released,
)
from tiny.models import (
    PIXART_TARGETS,
    SD_UNET,
    inputs,
    pixart_on_meta,
    released_keys,
    sd15_on_meta,
    tiny_base,
    tiny_model,
    tiny_pixart_base,
    tiny_pixart_model,
)

from colorflow.checkpoints.__main__ import main
from colorflow.checkpoints.ours import export_released
from colorflow.checkpoints.parts import fusion, fusion_widths
from colorflow.checkpoints.released import import_released, read_released
from colorflow.models.base import save_base
from colorflow.models.icp_model import ICPModel
from colorflow.models.lora import TARGET_MODULES
from colorflow.models.pixart.layout import PixArtLayout
from colorflow.models.sd.layout import SDLayout
from colorflow.pipelines.export import load_export, save_export
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.utils.tensors import CheckpointError


def plain(shape: list[int]) -> tuple[int, ...]:
    return tuple(shape)


# Key sets at full size, derived here apart from the models.


@pytest.mark.parametrize("channels", [5, 9])
def test_full_size_guider_keys(channels):
    for layout, family, model in (
        (SDLayout(), "sd", sd15_on_meta(channels)),
        (PixArtLayout(), "pixart", pixart_on_meta(channels)),
    ):
        config = released_keys(f"colorguider_{family}_cond{channels}_config", "colorflow_meta.json")
        found = layout.guider(config)
        assert found == {key: tuple(value.shape) for key, value in model.guider.state_dict().items()}
        released = released_keys(f"colorguider_{family}_cond{channels}")
        assert found.keys() | layout.aliases(config).keys() == released.keys()
        assert all(plain(released[key]) == shape for key, shape in found.items())
        assert all(released[alias] == released[name] for alias, name in layout.aliases(config).items())


def test_full_size_lora_keys():
    for layout, family, name in (
        (SDLayout(), "sd", "unet_sd15_lora_r64"),
        (PixArtLayout(), "pixart", "pixart_lora_r128"),
    ):
        config = released_keys(f"colorguider_{family}_cond9_config", "colorflow_meta.json")
        released = {key.replace(".default.", "."): plain(shape) for key, shape in released_keys(name).items()}
        assert layout.lora(config, {}, {"sd": 64, "pixart": 128}[family]) == released
    assert (SDLayout.targets, PixArtLayout.targets) == (TARGET_MODULES, PIXART_TARGETS)


def test_full_size_fusion_keys():
    released = {key: plain(shape) for key, shape in released_keys("multi_hidden_resnet").items()}
    found = fusion([128, 128, 256, 512, 512])
    assert len(found) == 258
    assert found == released
    widths = fusion_widths({key: torch.empty(shape, device="meta") for key, shape in released.items()})
    assert widths == [128, 128, 256, 512, 512]


def zeros(shapes_: dict[str, Any]) -> Tensors:
    """Full-size tensors of one number each: files of shapes, not of gigabytes."""
    return {key: torch.zeros((), dtype=torch.float16).expand(plain(shape)) for key, shape in shapes_.items()}


@pytest.mark.parametrize(
    ("family", "channels", "count"),
    [("sd", 5, 626), pytest.param("sd", 9, 626, marks=pytest.mark.slow), ("pixart", 9, 226)],
)
def test_full_size_folder_is_read(tmp_path, family, channels, count):
    config = released_keys(f"colorguider_{family}_cond{channels}_config", "colorflow_meta.json")
    (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": CLASS[family]}))
    torch.save(zeros(released_keys(f"colorguider_{family}_cond{channels}")), tmp_path / BIN)
    lora = "unet_sd15_lora_r64" if family == "sd" else "pixart_lora_r128"
    torch.save(zeros(released_keys(lora)), tmp_path / LORA_FILE[family])
    torch.save(zeros(released_keys("multi_hidden_resnet")), tmp_path / GSRP)
    parts = read_released(tmp_path)
    assert parts.problems == []
    assert (len(parts.guider), len(parts.lora)) == (count, {"sd": 320, "pixart": 582}[family])
    assert parts.gsrp is not None
    assert (len(parts.gsrp), parts.rank) == (258, {"sd": 64, "pixart": 128}[family])


# Round trips at tiny size.


@pytest.fixture(scope="module", params=[("sd", 5), ("sd", 9), ("pixart", 9)], ids=lambda p: f"{p[0]}{p[1]}")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ICPModel, Path, Path]:
    family, channels = request.param
    folder = tmp_path_factory.mktemp(family)
    model = tiny(family, channels)
    write_released(model, family, folder / "released")
    save_base(tiny_base(SD_UNET) if family == "sd" else tiny_pixart_base(), folder / "base")
    return family, model, folder / "released", folder / "base"


@torch.no_grad()
def test_imported_folder_is_the_model(case, tmp_path):
    _, model, released, base = case
    gsrp = tmp_path / "ours" / "gsrp"
    import_released(released, tmp_path / "ours", base=str(base))
    assert_equal(load_file(gsrp / SAFE), fusion_tensors())
    assert json.loads((gsrp / "config.json").read_text())["block_out_channels"] == WIDTHS[1:]
    shutil.rmtree(gsrp)  # it has the proportions of SD's VAE, which the tiny base has not
    loaded = load_export(tmp_path / "ours").model
    assert_equal(loaded.state_dict(), model.state_dict())
    arguments = inputs(channels=model.guider.conditioning_channels)
    model.requires_grad_(False)
    torch.testing.assert_close(loaded(*arguments), model(*arguments), atol=1e-6, rtol=1e-6)


def test_there_and_back(case, tmp_path):
    _, _, released, base = case
    import_released(released, tmp_path / "ours", base=str(base))
    export_released(tmp_path / "ours", tmp_path / "back")
    assert {file.name for file in (tmp_path / "back").iterdir()} == {file.name for file in released.iterdir()}
    for file in released.iterdir():
        back = tmp_path / "back" / file.name
        if file.suffix == ".bin":
            assert_equal(torch.load(back, weights_only=True), torch.load(file, weights_only=True))
        elif file.suffix == ".safetensors":
            assert_equal(load_file(back), load_file(file))
        else:
            one, other = json.loads(file.read_text()), json.loads(back.read_text())
            assert all(other[key] == value for key, value in one.items())


@torch.no_grad()
@pytest.mark.parametrize("family", ["sd", "pixart"])
def test_back_and_there(tmp_path, family):
    """Ours to released to ours, with a scale of 2 that the released loader does not know."""
    model = (tiny_model(9, base=tiny_base(SD_UNET)) if family == "sd" else tiny_pixart_model()).eval()
    save_export(model, tmp_path / "ours", (32, 48), RetrievalSettings(kind="hog"))
    export_released(tmp_path / "ours", tmp_path / "released")
    import_released(tmp_path / "released", tmp_path / "again", base=str(tmp_path / "ours" / "base"), gsrp=False)
    loaded = load_export(tmp_path / "again").model
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert_equal({key: value * (2 if "lora_B" in key else 1) for key, value in ours.items()}, theirs)
    model.requires_grad_(False)
    arguments = inputs(channels=9)
    torch.testing.assert_close(loaded(*arguments), model(*arguments), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [5, 9])
def test_released_configuration_is_complete(tmp_path, channels):
    for family in ("sd", "pixart"):
        write_released(tiny(family, channels), family, tmp_path / family / "released")
        import_released(tmp_path / family / "released", tmp_path / family / "ours")
        export_released(tmp_path / family / "ours", tmp_path / family / "back")
        expected = released_keys(f"colorguider_{family}_cond{channels}_config", "colorflow_meta.json")
        found = json.loads((tmp_path / family / "back" / "config.json").read_text())
        assert found.keys() - {"_class_name"} == expected.keys() - {"_use_default_values"}
        assert found["_class_name"] == CLASS[family]


# Other ways of writing the same.


@pytest.fixture
def released(tmp_path: Path) -> Path:
    write_released(tiny("sd", 9), "sd", tmp_path / "GraySD")
    return tmp_path / "GraySD"


@pytest.fixture
def sketch(tmp_path: Path) -> Path:
    write_released(tiny("pixart", 9), "pixart", tmp_path / "sketch")
    return tmp_path / "sketch"


RENAMES = {
    "module": lambda key: f"module.{key}",
    "no adapter": lambda key: key.replace(".default.", "."),
    "other adapter": lambda key: key.replace(".default.", ".colorflow."),
    "peft model": lambda key: f"base_model.model.{key}",
    "pipeline": lambda key: f"unet.{key}",
}


@pytest.mark.parametrize("rename", RENAMES)
def test_names_of_other_wrappers(released, tmp_path, rename):
    expected = import_released(released, tmp_path / "plain")
    rewrite(released / "unet_lora.bin", lambda tensors: {RENAMES[rename](key): value for key, value in tensors.items()})
    assert_equal(import_released(released, tmp_path / "renamed").lora, expected.lora)


@pytest.mark.parametrize("name", [SAFE, GSRP])
def test_module_prefix(released, name):
    rewrite(released / name, lambda tensors: {f"module.{key}": value for key, value in tensors.items()})
    assert read_released(released).problems == []


def test_alias_may_be_absent_and_family_is_inferred(sketch):
    rewrite(sketch / BIN, lambda tensors: [tensors.pop(key) for key in list(tensors) if "after_proj" in key] and None)
    assert read_released(sketch).problems == []
    edit_config(sketch, lambda config: config.pop("_class_name"))
    assert isinstance(read_released(sketch).layout, PixArtLayout)


@pytest.mark.parametrize("channels", [5, 9])
@pytest.mark.parametrize(("family", "entry"), [("sd", "conditioning_channels"), ("pixart", "cond_channels")])
def test_channels_are_inferred(tmp_path, family, entry, channels):
    write_released(tiny(family, channels), family, tmp_path / "released")
    edit_config(tmp_path / "released", lambda config: config.pop(entry))
    parts = read_released(tmp_path / "released")
    assert (parts.problems, parts.config[entry]) == ([], channels)


def test_image_encoder_comes_along(released, tmp_path):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    small = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, projection_dim=4, num_hidden_layers=1, num_attention_heads=2, image_size=28
    )
    CLIPVisionModelWithProjection(small).save_pretrained(released.parent / "image_encoder")
    import_released(released, tmp_path / "ours", base="unused")
    index = json.loads((tmp_path / "ours" / "model_index.json").read_text())
    assert index["retrieval"] == {"kind": "clip", "folder": "image_encoder"}
    weights = Path("image_encoder") / "model.safetensors"
    assert_equal(load_file(tmp_path / "ours" / weights), load_file(released.parent / weights))
    rewrite(released.parent / weights, drop_last)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: expected \d+ tensors.*\n  1 missing"):
        import_released(released, tmp_path / "other")


def test_export_of_a_damaged_folder(released, tmp_path):
    import_released(released, tmp_path / "ours")
    shutil.copytree(tmp_path / "ours", tmp_path / "damaged")
    rewrite(tmp_path / "damaged" / "guider" / SAFE, drop_last)
    with pytest.raises(CheckpointError, match="1 missing"):
        export_released(tmp_path / "damaged", tmp_path / "back")
    with pytest.raises(CheckpointError, match="expected an export folder"):
        export_released(tmp_path, tmp_path / "back")
    with pytest.raises(CheckpointError, match="exists already"):
        export_released(tmp_path / "ours", tmp_path / "damaged")


def test_toon_has_no_released_form(tmp_path):
    save_export(tiny_model().eval(), tmp_path / "ours", (32, 48), RetrievalSettings(kind="hog"))
    with pytest.raises(CheckpointError, match="4 levels and 4 latent channels alone, this guider has 3 and 4"):
        export_released(tmp_path / "ours", tmp_path / "released")


def test_command(released, tmp_path, capsys):
    assert main(["import", str(released), str(tmp_path / "ours")]) == 0
    said = capsys.readouterr().out
    assert "guider: 626 tensors, 9 condition channels" in said
    assert "lora: 320 tensors, rank 2" in said
    assert main(["export", str(tmp_path / "ours"), str(tmp_path / "back")]) == 0
    (tmp_path / "back" / GSRP).unlink()
    assert main(["import", str(tmp_path / "back"), str(tmp_path / "again")]) == 1
    assert f"error: {tmp_path / 'back' / GSRP}: missing" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "back"), str(tmp_path / "again"), "--no-gsrp"]) == 0
    assert not (tmp_path / "again" / "gsrp").exists()
