"""Released checkpoints to export folders and back: key sets, round trips bit for bit, and a table of damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import (
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
from torch import Tensor

from colorflow.checkpoints import CheckpointError, export_released, import_released
from colorflow.checkpoints.__main__ import main
from colorflow.checkpoints.fusion import fusion, fusion_widths
from colorflow.checkpoints.layouts import PixArtLayout, SDLayout
from colorflow.checkpoints.released import read_released
from colorflow.models.base import save_base
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.models.lora import TARGET_MODULES
from colorflow.pipelines.export import load_export, save_export
from colorflow.pipelines.rap import RetrievalSettings

Tensors = dict[str, Tensor]

SAFE, BIN = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"
GSRP = "MultiResNetModel.bin"
LORA_FILE = {"sd": "unet_lora.bin", "pixart": "transformer_lora.bin"}
CLASS = {"sd": "ColorGuiderSDModel", "pixart": "ColorGuiderPixArtModel"}
WIDTHS = [4, 4, 8, 16, 16]
"""The proportions of Stable Diffusion's VAE, so that the same levels have shortcuts."""


def plain(shape: list[int]) -> tuple[int, ...]:
    return tuple(shape)


# Key sets at full size, derived here apart from the models.


@pytest.mark.parametrize("channels", [5, 9])
def test_full_size_guider_keys(channels: int) -> None:
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


def test_full_size_lora_keys() -> None:
    for layout, family, name in (
        (SDLayout(), "sd", "unet_sd15_lora_r64"),
        (PixArtLayout(), "pixart", "pixart_lora_r128"),
    ):
        config = released_keys(f"colorguider_{family}_cond9_config", "colorflow_meta.json")
        released = {key.replace(".default.", "."): plain(shape) for key, shape in released_keys(name).items()}
        assert layout.lora(config, {}, {"sd": 64, "pixart": 128}[family]) == released
    assert (SDLayout.targets, PixArtLayout.targets) == (TARGET_MODULES, PIXART_TARGETS)


def test_full_size_fusion_keys() -> None:
    released = {key: plain(shape) for key, shape in released_keys("multi_hidden_resnet").items()}
    found = fusion([128, 128, 256, 512, 512])
    assert len(found) == 258
    assert found == released
    assert fusion_widths({key: torch.empty(shape, device="meta") for key, shape in released.items()}) == [
        *(128, 128, 256, 512, 512)
    ]


def zeros(shapes_: dict[str, Any]) -> Tensors:
    """Full-size tensors of one number each: files of shapes, not of gigabytes."""
    return {key: torch.zeros((), dtype=torch.float16).expand(plain(shape)) for key, shape in shapes_.items()}


@pytest.mark.parametrize(("family", "channels", "count"), [("sd", 5, 626), ("sd", 9, 626), ("pixart", 9, 226)])
def test_full_size_folder_is_read(tmp_path: Path, family: str, channels: int, count: int) -> None:
    """Every key of the released lists is accounted for, through real files."""
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


def tiny(family: str, channels: int) -> ICPModel:
    lora = LoraSettings(2, 2, TARGET_MODULES if family == "sd" else PIXART_TARGETS)  # released: scale 1
    if family == "sd":
        return tiny_model(channels, base=tiny_base(SD_UNET), lora=lora).eval()
    return tiny_pixart_model(channels, base=tiny_pixart_base(), lora=lora).eval()


def fusion_tensors() -> Tensors:
    source = torch.Generator().manual_seed(3)
    found = {key: torch.rand(shape, generator=source) for key, shape in fusion(WIDTHS).items()}
    return {key: torch.tensor(7) if key.endswith("num_batches_tracked") else value for key, value in found.items()}


def write_released(model: ICPModel, family: str, folder: Path) -> None:
    """The released layout written by hand, from a model's own state."""
    folder.mkdir(parents=True)
    names = {"cross_attention_dim": 8} if family == "sd" else {"caption_channels": 8, "out_channels": 8}
    config = {key: value for key, value in model.guider.config.items() if not key.startswith("_")}
    (folder / "config.json").write_text(json.dumps(config | names | {"_class_name": CLASS[family]}))
    guider = dict(model.guider.state_dict())
    if family == "pixart":
        last = len(model.guider.adapter_linear) - 1
        guider |= {f"after_proj.{kind}": guider[f"adapter_linear.{last}.{kind}"] for kind in ("weight", "bias")}
        torch.save(guider, folder / BIN)
    else:
        save_file(guider, folder / SAFE)
    lora = {key: value for key, value in model.network.state_dict().items() if "lora_" in key}
    torch.save(lora, folder / LORA_FILE[family])
    torch.save(fusion_tensors(), folder / GSRP)


def assert_equal(ours: Tensors, theirs: Tensors) -> None:
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert ours[key].dtype == theirs[key].dtype
        assert torch.equal(ours[key], theirs[key]), key


@pytest.fixture(scope="module", params=[("sd", 5), ("sd", 9), ("pixart", 9)], ids=lambda p: f"{p[0]}{p[1]}")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ICPModel, Path, Path]:
    """Family, model, its released folder, its base in full."""
    family, channels = request.param
    folder = tmp_path_factory.mktemp(family)
    model = tiny(family, channels)
    write_released(model, family, folder / "released")
    save_base(tiny_base(SD_UNET) if family == "sd" else tiny_pixart_base(), folder / "base")
    return family, model, folder / "released", folder / "base"


@torch.no_grad()
def test_imported_folder_is_the_model(case: tuple[str, ICPModel, Path, Path], tmp_path: Path) -> None:
    """Through the product's own loader: same weights, same prediction."""
    _, model, released, base = case
    import_released(released, tmp_path / "ours", base=str(base))
    loaded = load_export(tmp_path / "ours").model
    assert_equal(loaded.state_dict(), model.state_dict())
    arguments = inputs(channels=model.guider.conditioning_channels)
    model.requires_grad_(False)
    torch.testing.assert_close(loaded(*arguments), model(*arguments), atol=1e-6, rtol=1e-6)
    assert_equal(load_file(tmp_path / "ours" / "gsrp" / SAFE), fusion_tensors())
    assert json.loads((tmp_path / "ours" / "gsrp" / "config.json").read_text())["block_out_channels"] == WIDTHS[1:]


def test_there_and_back(case: tuple[str, ICPModel, Path, Path], tmp_path: Path) -> None:
    """Released to ours to released: the same files with the same tensors, and a configuration that says as much."""
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
            assert one.items() <= other.items()


@torch.no_grad()
@pytest.mark.parametrize("family", ["sd", "pixart"])
def test_back_and_there(tmp_path: Path, family: str) -> None:
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
def test_released_configuration_is_complete(tmp_path: Path, channels: int) -> None:
    """What the released class would have registered, entry for entry."""
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


def rewrite(file: Path, change: Callable[[Tensors], Tensors | None]) -> None:
    tensors = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
    changed = change(tensors)
    tensors = tensors if changed is None else changed
    save_file(tensors, file) if file.suffix == ".safetensors" else torch.save(tensors, file)


def edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


RENAMES = {
    "module": lambda key: f"module.{key}",
    "no adapter": lambda key: key.replace(".default.", "."),
    "other adapter": lambda key: key.replace(".default.", ".colorflow."),
    "peft model": lambda key: f"base_model.model.{key}",
    "pipeline": lambda key: f"unet.{key}",
}


@pytest.mark.parametrize("rename", RENAMES)
def test_names_of_other_wrappers(released: Path, tmp_path: Path, rename: str) -> None:
    expected = import_released(released, tmp_path / "plain")
    rewrite(released / "unet_lora.bin", lambda tensors: {RENAMES[rename](key): value for key, value in tensors.items()})
    assert_equal(import_released(released, tmp_path / "renamed").lora, expected.lora)


@pytest.mark.parametrize("name", [SAFE, GSRP])
def test_module_prefix(released: Path, name: str) -> None:
    rewrite(released / name, lambda tensors: {f"module.{key}": value for key, value in tensors.items()})
    assert read_released(released).problems == []


def test_alias_may_be_absent(sketch: Path) -> None:
    rewrite(sketch / BIN, lambda tensors: [tensors.pop(key) for key in list(tensors) if "after_proj" in key] and None)
    assert read_released(sketch).problems == []


@pytest.mark.parametrize("channels", [5, 9])
@pytest.mark.parametrize(("family", "entry"), [("sd", "conditioning_channels"), ("pixart", "cond_channels")])
def test_channels_are_inferred(tmp_path: Path, family: str, entry: str, channels: int) -> None:
    write_released(tiny(family, channels), family, tmp_path / "released")
    edit_config(tmp_path / "released", lambda config: config.pop(entry))
    parts = read_released(tmp_path / "released")
    assert (parts.problems, parts.config[entry]) == ([], channels)


def test_family_is_inferred(sketch: Path) -> None:
    edit_config(sketch, lambda config: config.pop("_class_name"))
    assert isinstance(read_released(sketch).layout, PixArtLayout)


def test_image_encoder_comes_along(released: Path, tmp_path: Path) -> None:
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


# Damage.


def last_weight(tensors: Tensors) -> str:
    return max(key for key, value in tensors.items() if value.ndim > 1)


def drop_last(tensors: Tensors) -> None:
    del tensors[last_weight(tensors)]


def add_one(tensors: Tensors) -> None:
    tensors["nowhere.weight"] = torch.zeros(2)


def shorten_one(tensors: Tensors) -> None:
    key = last_weight(tensors)
    tensors[key] = tensors[key][:, :-1].contiguous()


def spoil_one(tensors: Tensors) -> None:
    tensors[last_weight(tensors)].view(-1)[0] = float("nan")


def second_adapter(tensors: Tensors) -> None:
    tensors |= {key.replace(".default.", ".other."): value for key, value in tensors.items()}


def twice(tensors: Tensors) -> None:
    key = last_weight(tensors)
    tensors[f"module.{key}"] = tensors[key].clone()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


class Stranger:
    """Something that a file of weights must not bring along."""


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "guider key missing": (
        lambda f: rewrite(f / SAFE, drop_last),
        rf"{SAFE}: expected 626 tensors, got 625\n  1 missing: up_",
    ),
    "guider key unexpected": (lambda f: rewrite(f / SAFE, add_one), r"1 unexpected: nowhere\.weight"),
    "guider misshapen": (lambda f: rewrite(f / SAFE, shorten_one), r"1 misshapen: .* \(expected \[.*\], got \["),
    "guider not finite": (lambda f: rewrite(f / SAFE, spoil_one), r"1 not finite: up_blocks"),
    "guider truncated": (lambda f: truncate(f / SAFE), rf"{SAFE}: truncated, damaged"),
    "guider absent": (lambda f: (f / SAFE).unlink(), rf"{SAFE}: missing; fetch the whole folder"),
    "guider twice": (lambda f: rewrite(f / SAFE, twice), "stored twice under different prefixes: up_blocks"),
    "LoRA key missing": (
        lambda f: rewrite(f / "unet_lora.bin", drop_last),
        r"unet_lora\.bin: expected 320 .*got 319\n  1 missing",
    ),
    "LoRA key unexpected": (
        lambda f: rewrite(f / "unet_lora.bin", add_one),
        r"unet_lora\.bin.*\n  1 unexpected: nowhere",
    ),
    "LoRA misshapen": (lambda f: rewrite(f / "unet_lora.bin", shorten_one), r"unet_lora\.bin.*\n  1 misshapen"),
    "LoRA of two adapters": (
        lambda f: rewrite(f / "unet_lora.bin", second_adapter),
        "one adapter, got 2: default, other",
    ),
    "LoRA truncated": (lambda f: truncate(f / "unet_lora.bin"), r"unet_lora\.bin: truncated"),
    "LoRA is code": (lambda f: torch.save({"a": Stranger()}, f / "unet_lora.bin"), "not a file of tensors alone"),
    "LoRA is a list": (lambda f: torch.save([torch.zeros(1)], f / "unet_lora.bin"), "expected a mapping .* got list"),
    "LoRA with numbers": (lambda f: torch.save({"step": 3}, f / "unet_lora.bin"), "got also int"),
    "LoRA is a pointer": (
        lambda f: (f / "unet_lora.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "Git LFS pointer",
    ),
    "gsrp key missing": (
        lambda f: rewrite(f / GSRP, drop_last),
        rf"{GSRP}: expected 258 tensors, got 257\n  1 missing",
    ),
    "gsrp level missing": (
        lambda f: rewrite(f / GSRP, lambda t: {k: v for k, v in t.items() if ".4." not in k}),
        r"missing: two_layer_resnets\.4\.block1.*and \d+ more",
    ),
    "gsrp misshapen": (lambda f: rewrite(f / GSRP, shorten_one), "1 misshapen: two_layer"),
    "gsrp absent": (lambda f: (f / GSRP).unlink(), rf"{GSRP}: missing"),
    "config absent": (lambda f: (f / "config.json").unlink(), r"config\.json: missing; expected a released folder"),
    "config no JSON": (lambda f: (f / "config.json").write_text("{"), "expected JSON"),
    "config of another class": (lambda f: edit_config(f, lambda c: c.update(_class_name="UNet")), "got 'UNet'"),
    "config of the other family": (
        lambda f: edit_config(f, lambda c: c.update(_class_name=CLASS["pixart"])),
        r"missing entries: .*num_layers",
    ),
    "config incomplete": (lambda f: edit_config(f, lambda c: c.pop("in_channels")), "missing entries: in_channels"),
    "config unsupported": (
        lambda f: edit_config(f, lambda c: c.update(use_linear_projection=True)),
        "use_linear_projection: expected False, got True",
    ),
    "config of other channels": (
        lambda f: edit_config(f, lambda c: c.update(conditioning_channels=5)),
        r"misshapen: conv_in_condition\.weight \(expected \[8, 9, 3, 3\], got \[8, 13, 3, 3\]\)",
    ),
    "encoder incomplete": (lambda f: (f / "image_encoder").mkdir(), r"image_encoder/config\.json: missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(released: Path, tmp_path: Path, damage: str) -> None:
    change, message = DAMAGE[damage]
    change(released)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_released(released, tmp_path / "ours")
    assert str(released) in str(caught.value)
    assert not (tmp_path / "ours").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "a temporary folder was left"


def test_alias_that_differs_is_named(sketch: Path, tmp_path: Path) -> None:
    rewrite(sketch / BIN, lambda tensors: tensors | {"after_proj.bias": tensors["after_proj.bias"] + 1})
    with pytest.raises(
        CheckpointError, match=r"after_proj\.bias is stored beside adapter_linear\.1\.bias and must equal"
    ):
        import_released(sketch, tmp_path / "ours")


def test_all_damage_is_in_one_list(released: Path, tmp_path: Path) -> None:
    for name in (SAFE, "unet_lora.bin", GSRP):
        rewrite(released / name, drop_last)
        rewrite(released / name, add_one)
    with pytest.raises(CheckpointError) as caught:
        import_released(released, tmp_path / "ours")
    text = str(caught.value)
    assert text.count("1 missing") == text.count("1 unexpected") == 3
    assert all(f"{released / name}: expected" in text for name in (SAFE, "unet_lora.bin", GSRP))


def test_export_of_a_damaged_folder(released: Path, tmp_path: Path) -> None:
    import_released(released, tmp_path / "ours")
    shutil.copytree(tmp_path / "ours", tmp_path / "damaged")
    rewrite(tmp_path / "damaged" / "guider" / SAFE, drop_last)
    with pytest.raises(CheckpointError, match="1 missing"):
        export_released(tmp_path / "damaged", tmp_path / "back")
    with pytest.raises(CheckpointError, match="expected an export folder"):
        export_released(tmp_path, tmp_path / "back")
    with pytest.raises(CheckpointError, match="exists already"):
        export_released(tmp_path / "ours", tmp_path / "damaged")


def test_command(released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
