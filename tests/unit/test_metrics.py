"""Page metrics against independent references: the written formula, scikit-image and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import color
from tiny.metrics import PIXELS
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from colorflow import metrics
from colorflow.metrics.color import lab
from colorflow.metrics.networks import to_pictures

NAMES = PIXELS
GAUSSIAN = metrics.ssim.bound({"ssim_window": "gaussian11"})


def spec_metric(name: str) -> metrics.SpecMetric:
    return metrics.SpecMetric(metrics.find_metric(name))


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """Five pages of 28 x 36 pixels, 8-bit levels, and noisy copies of them."""
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(5, 3, 36, 28, generator=generator)
    noise = 0.2 * torch.rand(5, 3, 36, 28, generator=generator) * torch.arange(1, 6).view(5, 1, 1, 1) / 5
    return _levels(target + noise), _levels(target)


def _levels(images: Tensor) -> Tensor:
    return (images.clamp(0, 1) * 255).round().double() / 255


def _sharma_pair(row: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Three of the published CIEDE2000 test pairs (Sharma et al. 2005, table 1)."""
    rows = [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ]
    first, second, expected = rows[row]
    return np.array(first), np.array(second), expected


def test_psnr_equals_the_formula_page_by_page(pair: tuple[Tensor, Tensor]) -> None:
    preds, target = pair
    for got, a, b in zip(metrics.psnr(preds, target), preds, target, strict=True):
        squares = [(x - y) ** 2 for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)]
        expected = -10 * math.log10(math.fsum(squares) / len(squares))
        assert float(got) == pytest.approx(expected, abs=1e-9)


def test_the_mean_is_over_pages_not_over_pooled_pixels(pair: tuple[Tensor, Tensor]) -> None:
    preds, target = pair
    metric = spec_metric("psnr")
    metric.update(preds, target)
    pooled = -10 * torch.log10(((preds - target) ** 2).mean())
    assert float(metric.compute()) == pytest.approx(float(metrics.psnr(preds, target).mean()), abs=1e-12)
    assert abs(float(metric.compute()) - float(pooled)) > 0.5


def test_ssim_uniform7_equals_the_written_formula(pair: tuple[Tensor, Tensor]) -> None:
    preds, target = pair
    for got, a, b in zip(metrics.ssim(preds, target), preds.numpy(), target.numpy(), strict=True):
        assert float(got) == pytest.approx(_ssim_by_windows(a, b), abs=1e-9)


def _ssim_by_windows(a: np.ndarray, b: np.ndarray) -> float:
    """Mean SSIM over all whole 7 x 7 windows of all channels, sample (N - 1) covariance."""
    views = [np.lib.stride_tricks.sliding_window_view(x, (7, 7), (1, 2)).reshape(-1, 49) for x in (a, b)]
    x, y = views
    mean_x, mean_y = x.mean(1), y.mean(1)
    var_x, var_y = x.var(1, ddof=1), y.var(1, ddof=1)
    covariance = ((x - mean_x[:, None]) * (y - mean_y[:, None])).sum(1) / 48
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def test_ssim_gaussian11_equals_torchmetrics_on_whole_windows(pair: tuple[Tensor, Tensor]) -> None:
    """torchmetrics 1.9 counts windows that hang over the border too (reflected); scikit-image leaves them out."""
    preds, target = pair
    _, full = structural_similarity_index_measure(
        preds, target, data_range=1.0, sigma=1.5, reduction="none", return_full_image=True
    )
    expected = full[:, :, 5:-5, 5:-5].mean((1, 2, 3))
    torch.testing.assert_close(GAUSSIAN(preds, target), expected, atol=1e-6, rtol=0)
    assert (metrics.ssim(preds, target) - expected).abs().max() > 1e-4


def test_chroma_psnr_ignores_lightness_and_equals_the_formula(pair: tuple[Tensor, Tensor]) -> None:
    preds, target = pair
    for got, a, b in zip(metrics.chroma_psnr(preds, target), preds.numpy(), target.numpy(), strict=True):
        lab_a, lab_b = (color.xyz2lab(color.rgb2xyz(x.transpose(1, 2, 0))) for x in (a, b))
        mean = np.mean((lab_a - lab_b)[:, :, 1:] ** 2)
        assert float(got) == pytest.approx(20 * math.log10(255 / math.sqrt(mean)), abs=1e-9)
    gray, white = torch.full((1, 3, 8, 8), 0.4), torch.ones(1, 3, 8, 8)
    assert float(metrics.chroma_psnr(gray, white)) > 90


@pytest.mark.parametrize("row", range(3))
def test_ciede2000_follows_the_published_table(row: int) -> None:
    first, second, expected = _sharma_pair(row)
    assert float(color.deltaE_ciede2000(first, second)) == pytest.approx(expected, abs=5e-5)


def test_ciede2000_is_the_mean_over_pixels(pair: tuple[Tensor, Tensor]) -> None:
    preds, target = pair
    preds, target = preds[:2, :, :12, :12], target[:2, :, :12, :12]
    for got, a, b in zip(metrics.ciede2000(preds, target), preds.numpy(), target.numpy(), strict=True):
        labs = [color.rgb2lab(x.transpose(1, 2, 0)).reshape(-1, 3) for x in (a, b)]
        pixels = [float(color.deltaE_ciede2000(x, y)) for x, y in zip(*labs, strict=True)]
        assert float(got) == pytest.approx(math.fsum(pixels) / len(pixels), abs=1e-9)


def test_a_page_pair_of_pictures_makes_lab_once_and_gives_the_same_numbers(
    pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr("colorflow.metrics.pages.lab", lambda page: made.append(1) or lab(page))
    together = metrics.PagePair.of(*(to_pictures(images[:1], "test")[0] for images in pair))
    for name in NAMES:
        spec = metrics.find_metric(name)
        assert float(spec.of_page(together)) == float(spec(pair[0][:1], pair[1][:1]))
    assert len(made) == 2 + 2 * 2 * 1  # once for the pair; each call on batches makes a pair of its own


@pytest.mark.parametrize("name", NAMES)
def test_identical_pages(name: str, pair: tuple[Tensor, Tensor]) -> None:
    perfect = {"psnr": math.inf, "ssim": 1.0, "chroma_psnr": math.inf, "ciede2000": 0.0}[name]
    _, target = pair
    assert getattr(metrics, name)(target, target).tolist() == [perfect] * 5


def test_one_identical_page_makes_the_mean_infinite_not_nan(pair: tuple[Tensor, Tensor]) -> None:
    preds, target = pair
    metric = spec_metric("psnr")
    metric.update(torch.cat([preds, target]), torch.cat([target, target]))
    assert float(metric.compute()) == math.inf


def test_ssim_refuses_an_unknown_window_and_tiny_pages(pair: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match="uniform7, gaussian11"):
        metrics.ssim.bound({"ssim_window": "box9"})(*pair)
    with pytest.raises(ValueError, match="at least 11 x 11"):
        GAUSSIAN(pair[0][:, :, :8], pair[1][:, :, :8])
