"""Every metric against another implementation: scikit-image, torch-fidelity, clean-fid, torchmetrics, open_clip.

Pages are random ones and toon pages, which look like comics. Where weights would be needed both sides get the
same random ones.
"""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from cleanfid.fid import fid_from_feats
from cleanfid.resize import build_resizer
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny.networks import pages, published_head_state, write_alexnet
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.functional.image.lpips import _LPIPS

from colorflow import metrics
from colorflow.metrics.catalog.aesthetic import AestheticHead, AestheticScorer, fill_head
from colorflow.metrics.catalog.clip_is import clip
from colorflow.metrics.catalog.lpips import lpips
from colorflow.metrics.color import ciede2000_map, lab
from colorflow.metrics.distances import frechet_distance, kernel_distance
from colorflow.metrics.inception import FoldedInception, clean_pixels, fidelity_inception, legacy_pixels
from colorflow.metrics.networks import to_pictures
from colorflow.toon import ToonSpec, draw_chapter


def _random() -> tuple[Tensor, Tensor]:
    return pages(3, (61, 83), seed=1), pages(3, (61, 83), seed=2)


def _comic() -> tuple[Tensor, Tensor]:
    """Toon pages, and the same a little off in colour, blurred, and partly gray."""
    drawn = [np.array(page.color) for page in draw_chapter(3, 3, ToonSpec(size=(96, 144)))]
    target = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).double() / 255
    preds = 0.9 * target + 0.05 + 0.05 * target.roll(1, 3)
    preds[:, :, :40] = preds[:, :, :40].mean(1, keepdim=True)
    preds[:, :, 40:60] = target[:, :, 40:60]
    return (preds.clamp(0, 1) * 255).round() / 255, target


@pytest.fixture(params=[_random, _comic], ids=["random", "comic"])
def pair(request) -> tuple[Tensor, Tensor]:
    return request.param()


def _hwc(page: Tensor) -> np.ndarray:
    return page.permute(1, 2, 0).numpy()


def test_psnr_and_ssim_are_scikit_images(pair):
    preds, target = pair
    for number, (a, b) in enumerate(zip(preds, target, strict=True)):
        expected = peak_signal_noise_ratio(_hwc(b), _hwc(a), data_range=1)
        assert float(metrics.psnr(preds, target)[number]) == pytest.approx(expected, abs=1e-9)
        expected = structural_similarity(_hwc(a), _hwc(b), win_size=7, data_range=1, channel_axis=2)
        assert float(metrics.ssim(preds, target)[number]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [(7, 7), (7, 90), (130, 8), (64, 65)])
def test_ssim_of_any_page_size(size):
    """Strips of rows meet, and pages as small as the window."""
    a, b = pages(1, size, seed=1), pages(1, size, seed=2)
    expected = structural_similarity(_hwc(a[0]), _hwc(b[0]), win_size=7, data_range=1, channel_axis=2)
    assert float(metrics.ssim(a, b)) == pytest.approx(expected, abs=1e-9)


def test_lab_and_ciede2000_are_scikit_images_pixel_by_pixel(pair):
    for a, b in zip(*pair, strict=True):
        ours, theirs = [lab(_hwc(page)) for page in (a, b)], [color.rgb2lab(_hwc(page)) for page in (a, b)]
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(own, np.moveaxis(other, 2, 0), atol=1e-10)
        expected = color.deltaE_ciede2000(*theirs)
        np.testing.assert_allclose(ciede2000_map(*ours), expected, atol=1e-6)
        assert float(metrics.ciede2000(a[None], b[None])) == pytest.approx(expected.mean(), abs=1e-8)


def test_ciede2000_of_grays_and_of_hues_across_the_wrap():
    """Gray against colour, black, and hues on both sides of 0 and of 180 degrees."""
    grid = np.array(
        [(lightness, a, b) for lightness in (0.0, 50.0, 100.0) for a in (-40.0, 0.0, 40.0) for b in (-1.0, 0.0, 1.0)]
    )
    first, second = np.repeat(grid, len(grid), 0).T, np.tile(grid, (len(grid), 1)).T
    expected = color.deltaE_ciede2000(first, second, channel_axis=0)
    np.testing.assert_allclose(ciede2000_map(first, second), expected, atol=1e-9)


def _features(count: int, dimensions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(count, dimensions, generator=generator) @ torch.randn(
        dimensions, dimensions, generator=generator
    )
    return (mixed / dimensions**0.5 + 0.1 * seed).relu()


@pytest.mark.parametrize(("n", "m"), [(300, 300), (200, 350)], ids=["equal", "unequal"])
def test_fid_of_full_rank_is_torch_fidelitys_and_clean_fids(n, m):
    first, second = _features(n, 64, 1), _features(m, 64, 2)
    ours = float(frechet_distance(first, second))
    statistics = [fid_features_to_statistics(features) for features in (first, second)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert ours == pytest.approx(fid_from_feats(first.double().numpy(), second.double().numpy()), rel=1e-4)


def test_fid_of_fewer_pages_than_dimensions_is_torch_fidelitys():
    """Its eigenvalue route is right where scipy's ``sqrtm`` of a singular product is not."""
    first, second = _features(60, 128, 1), _features(50, 128, 2)
    statistics = [fid_features_to_statistics(features) for features in (first, second)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert float(frechet_distance(first, second)) == pytest.approx(theirs, rel=1e-4)


def test_fid_is_the_closed_form_of_commuting_covariances():
    """Columns scaled apart: the distance is that of the standard deviations."""
    base = torch.linalg.qr(torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    base = base - base.mean(0)
    left, _, _ = torch.linalg.svd(base, full_matrices=False)
    scales = torch.tensor([[1.0, 2, 3, 4, 5, 6], [2.0, 2, 1, 7, 5, 0.5]], dtype=torch.float64)
    first, second = (left * scale * 39**0.5 for scale in scales)
    expected = ((scales[0] - scales[1]) ** 2).sum() + (first.mean(0) - second.mean(0)).square().sum()
    assert float(frechet_distance(first, second)) == pytest.approx(float(expected), rel=1e-9)


def test_kid_of_one_block_is_torch_fidelitys():
    first, second = _features(80, 64, 1), _features(80, 64, 2)
    options = {"kid_subsets": 1, "kid_subset_size": 80, "verbose": False}
    theirs = kid_features_to_metric(first.double(), second.double(), **options)["kernel_inception_distance_mean"]
    assert float(kernel_distance(first, second)) == pytest.approx(theirs, rel=1e-4)


def test_the_clean_resize_is_clean_fids(pair):
    resize = build_resizer("clean")
    for picture in to_pictures(pair[0], "test"):
        expected = torch.from_numpy(resize(np.array(picture))).permute(2, 0, 1)
        torch.testing.assert_close(clean_pixels(picture), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("resize", ["legacy", "clean"])
def test_inception_features_are_torch_fidelitys(resize):
    """The same network, its batch norms not folded; random ones have statistics that do fold."""
    generator = torch.Generator().manual_seed(0)
    network = fidelity_inception(None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, generator=generator)
    folded = FoldedInception(fidelity_inception(network.state_dict()))
    (picture,) = to_pictures(pages(1, (70, 90)), "test")
    if resize == "legacy":
        expected = network(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None])[0]
        got = folded(legacy_pixels(picture)[None])
    else:
        rounded = clean_pixels(picture).round()
        expected, got = network(rounded.byte()[None])[0], folded(rounded[None])
    assert float(expected.std()) > 0
    assert float((got - expected).norm() / expected.norm()) < 1e-5


@pytest.fixture(scope="module", params=["squash", "centre_crop"])
def clip_network(request) -> metrics.PageNetwork:
    torch.manual_seed(0)
    tower = open_clip.create_model("ViT-B-32").visual
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colorflow.metrics.catalog.clip_is.clip_tower", lambda *_: tower)
        return clip(metrics.MetricSettings(clip_resize=request.param, batch_size=3))


def test_clip_is_a_plain_open_clip_loop(clip_network, pair):
    side = 224
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))

    def plain(page: Tensor) -> Tensor:
        picture = Image.fromarray((_hwc(page) * 255).round().astype(np.uint8))
        scale = side / min(picture.size)
        size = (side, side) if "squash" in clip_network.id else tuple(int(edge * scale) for edge in picture.size)
        picture = picture.resize(size, Image.Resampling.BICUBIC)
        left, top = (round((edge - side) / 2) for edge in picture.size)
        picture = picture.crop((left, top, left + side, top + side))
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        embedding = clip_network.module(((pixels - mean) / std)[None])[0].double()
        return embedding / embedding.norm()

    expected = [float(plain(a) @ plain(b)) for a, b in zip(*pair, strict=True)]
    got = metrics.clip_is(*pair, clip_network)
    assert got.dtype == torch.float64
    assert got.tolist() == pytest.approx(expected, abs=1e-5)
    assert 1 - got.max() > 1e-4  # random weights still tell the pages apart: another resize rule would show


def test_lpips_is_torchmetrics_on_the_same_alexnet(pair, tmp_path, monkeypatch):
    network = lpips(metrics.MetricSettings(weights_dir=str(write_alexnet(tmp_path, monkeypatch))))
    other = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    other.net.load_state_dict(network.module.network.net.state_dict())
    with torch.no_grad():
        expected = other(pair[0].float(), pair[1].float(), normalize=True).flatten()
    torch.testing.assert_close(metrics.lpips(*pair, network), expected.double(), atol=1e-6, rtol=1e-5)
    assert expected.min() > 1e-4


def test_the_aesthetic_head_is_the_written_out_affine_map():
    state = published_head_state()
    head = fill_head(AestheticHead(), state, "test")
    weight, bias = torch.eye(768, dtype=torch.float64), torch.zeros(768, dtype=torch.float64)
    for place in (0, 2, 4, 6, 7):
        matrix = state[f"layers.{place}.weight"].double()
        weight, bias = matrix @ weight, matrix @ bias + state[f"layers.{place}.bias"].double()

    class Tower(torch.nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.flatten(1)

    embeddings = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    unit = embeddings.flatten(1).double()
    unit = unit / unit.norm(dim=1, keepdim=True)
    with torch.no_grad():
        got = AestheticScorer(Tower(), head)(embeddings)
    torch.testing.assert_close(got.double(), unit @ weight.T + bias, atol=1e-5, rtol=0)
