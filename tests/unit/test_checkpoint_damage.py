"""Damage to a released folder: each kind ends in one error that names it, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny.checkpoints import (
    BIN,
    CLASS,
    GSRP,
    SAFE,
    Tensors,
    drop_last,
    edit_config,
    last_weight,
    rewrite,
    tiny,
    write_released,
)

from colorflow.checkpoints.released import import_released
from colorflow.utils.tensors import CheckpointError


@pytest.fixture
def released(tmp_path: Path) -> Path:
    write_released(tiny("sd", 9), "sd", tmp_path / "GraySD")
    return tmp_path / "GraySD"


@pytest.fixture
def sketch(tmp_path: Path) -> Path:
    write_released(tiny("pixart", 9), "pixart", tmp_path / "sketch")
    return tmp_path / "sketch"


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
def test_damage_is_named(released, tmp_path, damage):
    change, message = DAMAGE[damage]
    change(released)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_released(released, tmp_path / "ours")
    assert str(released) in str(caught.value)
    assert not (tmp_path / "ours").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "a temporary folder was left"


def test_alias_that_differs_is_named(sketch, tmp_path):
    rewrite(sketch / BIN, lambda tensors: tensors | {"after_proj.bias": tensors["after_proj.bias"] + 1})
    with pytest.raises(
        CheckpointError, match=r"after_proj\.bias is stored beside adapter_linear\.1\.bias and must equal"
    ):
        import_released(sketch, tmp_path / "ours")


def test_all_damage_is_in_one_list(released, tmp_path):
    for name in (SAFE, "unet_lora.bin", GSRP):
        rewrite(released / name, drop_last)
        rewrite(released / name, add_one)
    with pytest.raises(CheckpointError) as caught:
        import_released(released, tmp_path / "ours")
    text = str(caught.value)
    assert text.count("1 missing") == text.count("1 unexpected") == 3
    assert all(f"{released / name}: expected" in text for name in (SAFE, "unet_lora.bin", GSRP))
