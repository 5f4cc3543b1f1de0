"""LoRA: the released modules and names, its formula, and files that hold every tensor."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tiny.models import SD_UNET, UNET, inputs, noise, randomize, released_keys, sd15_config, sd15_on_meta, shapes
from torch import Tensor

from colorflow.models.lora import TARGET_MODULES, add_lora, load_lora, merge_lora, save_lora

WEIGHTS = "adapter_model.safetensors"


def seeded_unet(seed: int = 0) -> UNet2DConditionModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DConditionModel(**UNET).eval()


@pytest.fixture
def unet() -> UNet2DConditionModel:
    net = seeded_unet()
    add_lora(net, r=2, lora_alpha=4)
    randomize(net, "lora_B")
    return net


@torch.no_grad()
def predict(net: UNet2DConditionModel) -> Tensor:
    latents, timesteps, _ = inputs()
    return net(latents, timesteps, noise(2, 3, 8)).sample


def test_sd15_keys_and_counts():
    settings = sd15_config()["lora"]
    assert (settings["r"], settings["lora_alpha"], tuple(settings["target_modules"])) == (64, 64, TARGET_MODULES)
    unet = sd15_on_meta().unet
    lora = {key: value for key, value in unet.state_dict().items() if "lora_" in key}
    assert shapes(lora) == released_keys("unet_sd15_lora_r64")
    assert shapes(unet.state_dict()) == released_keys("unet_sd15_with_lora_all")
    assert len(lora) == 320
    assert all(".lora_A.default.weight" in key or ".lora_B.default.weight" in key for key in lora)
    assert round(sum(value.numel() for value in lora.values()) / 1e6, 2) == 23.94
    assert lora.keys() == {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    assert len(get_peft_model_state_dict(unet)) == 320


def test_tiny_sd_has_the_same_modules():
    """The tiny net of SD's structure stands for the full one in the other tests."""
    net = UNet2DConditionModel(**SD_UNET)
    add_lora(net, r=2)
    assert get_peft_model_state_dict(net).keys() == get_peft_model_state_dict(sd15_on_meta().unet).keys()


def test_only_lora_is_trained_and_it_starts_at_nothing():
    before = predict(seeded_unet())
    net = seeded_unet()
    net.requires_grad_(True)
    add_lora(net, r=2, lora_alpha=4)
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad == ("lora_" in name), name
        if "lora_B" in name:
            assert not parameter.any()
        if "lora_A" in name:
            assert 0.1 < parameter.std() * 2 < 2, f"{name}: Gaussian with deviation 1 / r"
    assert torch.equal(predict(net), before)


@torch.no_grad()
def test_formula_and_merge(unet):
    layer = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    features = noise(5, layer.in_features)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = features @ layer.base_layer.weight.T + 4 / 2 * features @ down.T @ up.T
    torch.testing.assert_close(layer(features), expected)
    assert not torch.allclose(layer(features), layer.base_layer(features), atol=1e-3)
    before, original = predict(unet), layer.base_layer.weight.clone()
    weights = layer.base_layer.weight
    merge_lora(unet)
    assert not torch.allclose(weights, original, atol=1e-3), "nothing was merged"
    torch.testing.assert_close(predict(unet), before, atol=5e-4, rtol=0)


def test_trained_in_float32_on_a_bfloat16_base():
    net = seeded_unet().to(torch.bfloat16)
    add_lora(net, r=2)
    kinds = {("lora_" in name, parameter.dtype) for name, parameter in net.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_save_and_load(unet, tmp_path):
    save_lora(unet, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"adapter_config.json", WEIGHTS}
    fresh = seeded_unet()
    load_lora(fresh, tmp_path)
    stored, found = get_peft_model_state_dict(unet), get_peft_model_state_dict(fresh)
    assert stored.keys() == found.keys()
    assert all(torch.equal(stored[key], found[key]) for key in stored)
    assert torch.equal(predict(fresh), predict(unet)), "the scale must be kept too"
    assert not torch.allclose(predict(fresh), predict(seeded_unet()), atol=1e-3)
    trained = {name for name, parameter in fresh.named_parameters() if parameter.requires_grad}
    assert trained == {name for name in fresh.state_dict() if "lora_" in name}
    own = {key.replace(".default.", ".") for key in unet.state_dict() if "lora_" in key}
    assert load_file(tmp_path / WEIGHTS).keys() == own


def damage(tensors: dict[str, Tensor], kind: str) -> None:
    first = min(tensors)
    if kind == "missing":
        del tensors[first]
    elif kind == "extra":
        tensors["nowhere.lora_A.weight"] = torch.zeros(2, 2)
    else:
        tensors[first] = tensors[first][:, :-1].contiguous()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "1 missing.*0 unexpected"),
        ("extra", "0 missing.*1 unexpected.*nowhere"),
        ("shape", "1 of another shape .first: "),
    ],
)
def test_damaged_file_is_refused(unet, tmp_path, kind, message):
    save_lora(unet, tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    damage(tensors, kind)
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match=message):
        load_lora(seeded_unet(), tmp_path)
