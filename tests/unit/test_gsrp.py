"""Guided super-resolution: released keys, fit into VAEs of any depth, norms, padding, samples that do not mix."""

import pytest
import torch
from diffusers import AutoencoderKL
from tiny.models import VAE, noise, randomize, released_keys, sd15_config, shapes
from torch import Tensor

from colorflow.config import compose_config, to_dict
from colorflow.models.gsrp.fusion import FusionNetwork, PageNorm, tap_widths
from colorflow.models.gsrp.model import GSRPModel, decode_with_skips, encoder_features, posterior_of, upsample

TOON_VAE = VAE | {
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "block_out_channels": [4, 8, 12],
    "latent_channels": 8,
}
"""Three levels, factor 4, every width another: a wrong one cannot fit by chance."""

LEVELS = pytest.mark.parametrize("config", [VAE, TOON_VAE], ids=["four", "three"])


def build(config: dict = TOON_VAE, norm_mode: str = "batch") -> GSRPModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = GSRPModel.from_vae(AutoencoderKL(**config), norm_mode)  # type: ignore[arg-type]
    randomize(model.fusion, ".bn", scale=0.5)
    return model.eval()


def pages(batch: int = 2, size: tuple[int, int] = (16, 24), factor: int = 2) -> tuple[Tensor, Tensor]:
    gray = noise(batch, 1, *size, seed=1).tanh().expand(-1, 3, -1, -1)
    return gray, noise(batch, 3, size[0] // factor, size[1] // factor, seed=2).tanh()


def sd15_fusion() -> FusionNetwork:
    vae = sd15_config()["base"]["random"]["vae"]
    with torch.device("meta"):
        return GSRPModel.from_vae(AutoencoderKL(**vae)).fusion


def test_sd15_keys_and_counts():
    expected = released_keys("multi_hidden_resnet")
    assert len(expected) == 258
    fusion = sd15_fusion()
    assert shapes(fusion.state_dict()) == expected
    assert round(sum(parameter.numel() for parameter in fusion.parameters()) / 1e6, 2) == 84.97
    outputs = [stack.block4.conv2.out_channels for stack in fusion.two_layer_resnets]
    assert outputs == [256, 512, 512, 512, 512]
    assert tap_widths((128, 256, 512, 512)) == [128, 128, 256, 512, 512]


def test_toon_family_fits_its_vae():
    config = to_dict(compose_config("train", ["experiment=quickstart", "weights=random"]).model)
    vae = AutoencoderKL(**config["base"]["random"]["vae"])
    model = GSRPModel.from_vae(vae)
    assert model.factor == 4
    assert [stack.block4.conv2.out_channels for stack in model.fusion.two_layer_resnets] == [32, 64, 64, 64]
    gray, low = pages(1, (24, 16))
    assert model(gray, low).shape == gray.shape


@LEVELS
@torch.no_grad()
def test_the_walk_is_diffusers_own_where_nothing_is_added(config):
    vae = AutoencoderKL(**config).eval()
    images = noise(2, 3, 16, 24)
    features = encoder_features(vae, images)
    posterior = posterior_of(vae, features[-1])
    assert torch.equal(posterior.parameters, vae.encode(images).latent_dist.parameters)
    fused = FusionNetwork(config["block_out_channels"]).eval()(features, features)
    fused.reverse()  # the decoder takes the coarsest first
    zeros = [torch.zeros_like(item) for item in fused]
    assert torch.equal(decode_with_skips(vae, posterior.mean, zeros), vae.decode(posterior.mean).sample)
    for level in range(len(zeros)):
        alone = [item if index == level else zeros[index] for index, item in enumerate(fused)]
        changed = decode_with_skips(vae, posterior.mean, alone)
        assert not torch.allclose(changed, vae.decode(posterior.mean).sample, atol=1e-3), f"level {level} is not used"


@pytest.mark.parametrize(("count", "got"), [(0, "0"), (3, "3"), (5, "more")])
def test_wrong_number_of_skips_is_refused(count, got):
    vae = AutoencoderKL(**TOON_VAE)
    with pytest.raises(ValueError, match=f"takes 4 skips, got {got}"):
        decode_with_skips(vae, noise(1, 8, 4, 4), [torch.zeros(1, 1, 1, 1)] * count)
    with pytest.raises(ValueError, match=r"widths \[8, 8, 8\], this VAE has \[4, 8, 12\]"):
        GSRPModel(vae, FusionNetwork((8, 8, 8)))


@pytest.mark.parametrize(("color", "gray"), [(3, 4), (4, 3), (5, 5)])
def test_wrong_number_of_features_is_refused(color, gray):
    one = torch.zeros(1, 4, 2, 2)
    with pytest.raises(ValueError, match=f"expected 4 features of either image, got {color} and {gray}"):
        FusionNetwork((4, 8, 12))([one] * color, [one] * gray)
    for option in ("norm_mode", "upsample_mode"):
        with pytest.raises(ValueError, match=f"{option}: expected one of b"):
            FusionNetwork((4, 4, 8, 8), **{option: "instance"})  # type: ignore[arg-type]


@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_pages_do_not_mix(training):
    """A page's result is its own, also in training mode: batch normalization would mix them."""
    model = build().train(training)
    gray, low = pages(3)
    together = model(gray, low)
    alone = torch.cat([model(gray[i : i + 1], low[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    mixing = build(norm_mode="running").train()
    first = mixing(gray, low)[:1]
    assert not torch.allclose(first, mixing(gray[:1], low[:1]), atol=1e-3)


@torch.no_grad()
def test_batch_mode_is_batch_normalization_of_one_page():
    reference, norm = torch.nn.BatchNorm2d(5), PageNorm(5)
    for module in (reference, norm):
        randomize(module, "")
    hidden = 3 * noise(1, 5, 6, 7) + 1
    expected = reference.train()(hidden)
    torch.testing.assert_close(norm.train()(hidden), expected, atol=1e-5, rtol=1e-5)
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[key], value, atol=1e-6, rtol=1e-6, msg=key)
    torch.testing.assert_close(norm.eval()(hidden), expected, atol=1e-5, rtol=1e-5)
    norm.norm_mode = "running"
    torch.testing.assert_close(norm(hidden), reference.eval()(hidden))


@torch.no_grad()
def test_running_statistics_are_used_in_their_mode_alone():
    found = {}
    for mode in ("batch", "running"):
        model = build(norm_mode=mode)
        before = model(*pages(1))
        for norm in (module for module in model.modules() if isinstance(module, PageNorm)):
            assert norm.running_mean is not None
            norm.running_mean += 1.0
        found[mode] = not torch.allclose(model(*pages(1)), before, atol=1e-4)
    assert found == {"batch": False, "running": True}


def test_training_changes_the_fusion_network_alone():
    model = build().train()
    assert not model.vae.training
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(*pages()).square().mean().backward()
    torch.optim.SGD(model.fusion.parameters(), lr=0.1).step()
    silent = [name for name, value in model.fusion.named_parameters() if value.grad is None or not value.grad.any()]
    assert not silent, "no gradient reaches these: DDP would stop"
    assert all(value.grad is None for value in model.vae.parameters())
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert all(key.startswith("fusion.") for key in changed)
    assert any("running_mean" in key for key in changed)


@LEVELS
@pytest.mark.parametrize("size", [(15, 22), (17, 9)])
@torch.no_grad()
def test_any_page_size(config, size):
    model = build(config)
    gray, _ = pages(1, size)
    color = noise(1, 3, *size, seed=4).tanh()
    found = model(gray, color)
    assert found.shape == gray.shape
    grown = [-side % model.factor for side in size]
    padded = [torch.nn.functional.pad(item, (0, grown[1], 0, grown[0]), mode="replicate") for item in (gray, color)]
    assert torch.equal(found, model(*padded)[..., : size[0], : size[1]])


@torch.no_grad()
def test_gray_colour_and_noise_reach_the_result():
    model = build()
    gray, low = pages(1)
    base = model(gray, low)
    assert torch.equal(base, model(gray, low)), "without noise there is one result"
    for changed in (model(-gray, low), model(gray, -low), model(gray, low, noise(1, 8, 4, 6))):
        assert not torch.allclose(changed, base, atol=1e-3)
    zero = model(gray, low, torch.zeros(1, 8, 4, 6))
    assert torch.equal(zero, base)


def test_upsampling():
    images = noise(1, 3, 8, 8).clamp(-1, 1)
    assert upsample(images, (8, 8)) is images
    linear = upsample(images, (16, 16))
    expected = torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(linear, expected)
    assert not torch.allclose(upsample(images, (16, 16), "bicubic"), linear, atol=1e-2)
    edge = torch.tensor([-1.0, -1.0, 1.0, 1.0]).repeat(1, 3, 4, 1)
    assert upsample(edge, (8, 8), "bicubic").abs().max() <= 1, "overshoot is cut, as Pillow does"
