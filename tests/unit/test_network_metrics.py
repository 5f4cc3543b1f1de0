"""Every metric by its spec: perfect pages, batches, order, ranks, wrong input, what each sees."""

import math
import os

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.metrics import KEYS, PAGES, PIXELS, random_network
from tiny.networks import pages
from torch import Tensor

from colorflow import metrics
from colorflow.metrics.catalog.clip_is import cosine
from colorflow.metrics.catalog.color_identity import Consistency, consistency, page_regions
from colorflow.metrics.distances import frechet_distance, kernel_distance
from colorflow.metrics.pages import page_pairs
from colorflow.toon import ToonSpec, draw_chapter

NETWORK = random_network(24, batch_size=3)
SCORER = random_network(1, batch_size=3)
PAIRS = random_network(24, pairs=True, batch_size=3)

NETWORKS = {"clip_is": NETWORK, "lpips": PAIRS, "aesthetic": SCORER, "fid": NETWORK, "kid": NETWORK}
NAMES = [name for name in metrics.metric_names() if name != "part_accuracy"]  # needs labels: test_parts.py


def spec_metric(name: str) -> metrics.SpecMetric:
    return metrics.SpecMetric(metrics.find_metric(name), NETWORKS.get(name))


def measure(name: str, preds: Tensor, target: Tensor) -> Tensor:
    return metrics.find_metric(name)(preds, target, NETWORKS.get(name)).mean()


COUNT = 7


def toon(count: int = COUNT, size: tuple[int, int] = (96, 144), seed: int = 5) -> tuple[Tensor, Tensor]:
    """Pages of a toon chapter, away from black and white so that casts do not clip, and their labels."""
    drawn = draw_chapter(seed, count, ToonSpec(size=size))
    colors = torch.from_numpy(np.stack([np.array(page.color) for page in drawn])).permute(0, 3, 1, 2).double() / 255
    labels = torch.from_numpy(np.stack([page.labels for page in drawn]).astype(np.int64))
    return (0.1 + 0.8 * colors), labels


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    target, _ = toon()
    noise = pages(COUNT, (96, 144), seed=3)
    return (target + 0.08 * (noise - 0.5)).clamp(0, 1), target


def test_what_the_table_has():
    assert set(NAMES) >= set(KEYS)
    assert {name for name in KEYS if metrics.find_metric(name).a_page} == set(PAGES)


@pytest.mark.parametrize("name", NAMES)
def test_classes_do_not_depend_on_batches_or_order(name, pair):
    preds, target = pair
    expected = measure(name, preds, target)
    assert expected.dtype == torch.float64
    whole, single, uneven, *ranks = (spec_metric(name) for _ in range(5))
    whole.update(preds, target)
    for number in torch.randperm(COUNT, generator=torch.Generator().manual_seed(0)).tolist():
        single.update(preds[number : number + 1], target[number : number + 1])
        ranks[number % 2].update(preds[number : number + 1], target[number : number + 1])
    ranks[0].merge_state(ranks[1])
    for part in (slice(4, None), slice(0, 4)):
        uneven.update(preds[part], target[part])
    tolerance = {"atol": 1e-12, "rtol": 0} if name in PIXELS else {"atol": 1e-6, "rtol": 1e-9}
    for metric in (whole, single, uneven, ranks[0]):
        torch.testing.assert_close(metric.compute(), expected, **tolerance)


def _rank(rank: int, folder: str, preds: Tensor, target: Tensor) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    mine = [0, 3] if rank == 0 else [number for number in range(COUNT) if number not in (0, 3)]
    values = {}
    for name in NAMES:
        metric = spec_metric(name)
        for number in mine:
            metric.update(preds[number : number + 1], target[number : number + 1])
        values[name] = metric.compute()
    torch.save(values, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_ranks_give_the_numbers_of_one(pair, tmp_path):
    context = torch.multiprocessing.get_context("fork")  # a spawned one would import everything again
    ranks = [context.Process(target=_rank, args=(rank, os.fspath(tmp_path), *pair)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    assert [process.exitcode for process in ranks] == [0, 0]
    for rank in range(2):
        values = torch.load(tmp_path / f"rank{rank}.pt")
        for name in NAMES:
            torch.testing.assert_close(values[name], measure(name, *pair), atol=1e-6, rtol=1e-9, msg=name)


def test_a_page_answers_the_same_in_any_company():
    """To the last bit: a short batch is filled up, so that every forward pass has one shape."""
    network, all_pages = random_network(24, batch_size=4), pages(9)
    together = network(all_pages)
    alone = torch.cat([network(page[None]) for page in all_pages])
    assert torch.equal(together, alone)
    assert torch.equal(network(all_pages.flip(0)).flip(0), together)
    torch.testing.assert_close(random_network(24, batch_size=1)(all_pages), together, atol=1e-4, rtol=1e-5)


def test_a_trainings_lower_precision_is_not_taken_over():
    expected, seen = NETWORK(pages(2)), []
    hook = NETWORK.module.register_forward_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(NETWORK(pages(2)), expected)
        assert (seen, torch.get_float32_matmul_precision()) == (["highest"], "medium")
    finally:
        hook.remove()
        torch.set_float32_matmul_precision("highest")


def test_identical_pages_are_perfect(pair):
    _, target = pair
    perfect = {name: float(measure(name, target, target)) for name in ("clip_is", "lpips", "fid", "color_identity")}
    assert perfect["clip_is"] == pytest.approx(1, abs=1e-12)
    assert perfect["lpips"] == 0
    assert abs(perfect["fid"]) < 1e-6
    assert perfect["color_identity"] == pytest.approx(1, abs=1e-12)
    features = torch.randn(100, 2048, generator=torch.Generator().manual_seed(0)).relu()  # of real dimension
    assert 0 <= float(frechet_distance(features, features)) < 1e-6
    assert 0 <= float(frechet_distance(features, features.flip(0))) < 1e-6


def test_kid_is_unbiased_where_fid_is_not():
    """Halves of one distribution: KID is about 0 on the mean, FID grows as N shrinks (Binkowski et al. 2018)."""
    generator = torch.Generator().manual_seed(1)
    found = {}
    for count in (20, 80):
        draws = [torch.randn(2 * count, 16, generator=generator) for _ in range(60)]
        kids = torch.stack([kernel_distance(draw[:count], draw[count:]) for draw in draws])
        fids = torch.stack([frechet_distance(draw[:count], draw[count:]) for draw in draws])
        found[count] = float(fids.mean())
        assert abs(float(kids.mean())) < 3 * float(kids.std()) / 60**0.5
    assert found[20] > 2 * found[80]


@pytest.mark.parametrize("name", [*PIXELS, "clip_is", "lpips", "fid", "kid"])
def test_swapped_channels_are_worse(name, pair):
    preds, target = pair
    close, swapped = (float(measure(name, images, target)) for images in (preds, target.flip(1)))
    assert (close > swapped) == spec_metric(name).higher_is_better


@pytest.mark.parametrize("name", NAMES)
def test_wrong_input_says_what_and_how_to_mend_it(name, pair):
    preds, target = pair
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        measure(name, preds * 2 - 1, target)
    with pytest.raises(ValueError, match=r"in \[0, 1\], got"):
        measure(name, preds * math.nan, target)
    with pytest.raises(TypeError, match="divide 8-bit pixels by 255"):
        measure(name, (preds * 255).byte(), target)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        measure(name, preds[:, :1], target[:, :1])
    with pytest.raises(ValueError, match=r"at least (one|two)"), pytest.warns(UserWarning, match="before"):
        spec_metric(name).compute()
    if name in (*PIXELS, "clip_is", "lpips", "color_identity"):
        with pytest.raises(ValueError, match="one shape"):
            measure(name, preds[:, :, :40], target)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_distances_need_two_finite_pages_of_one_dimension(distance):
    features = torch.rand(5, 4)
    for first, second in ((features[:1], features), (features, features[:, :3]), (features[0], features)):
        with pytest.raises(ValueError, match="at least two pages"):
            distance(first, second)
    with pytest.raises(ValueError, match="finite"):
        distance(features / 0, features)
    with pytest.raises(ValueError, match="other than zero"):
        cosine(torch.zeros(2, 3), torch.ones(2, 3))


# The sequence metric.


def regions(preds: Tensor, target: Tensor, labels: Tensor | None = None) -> Tensor:
    names = [None] * len(preds) if labels is None else list(labels.numpy())
    pairs = page_pairs(preds, target, "test")
    return torch.cat([page_regions(*pair.labs, of_page) for pair, of_page in zip(pairs, names, strict=True)])


def _consistency(preds: Tensor, target: Tensor, labels: Tensor | None = None) -> Consistency:
    found = consistency(regions(preds, target, labels))
    assert found is not None
    return found


def _cast(target: Tensor, labels: Tensor, signs: list[int]) -> Tensor:
    shift = torch.tensor([0.06, 0.0, -0.06], dtype=torch.float64).view(1, 3, 1, 1)
    moved = torch.tensor(signs, dtype=torch.float64).view(-1, 1, 1, 1) * shift
    return target + moved * (labels > 0)[:, None]


def test_drift_is_caught_that_no_page_metric_sees():
    """The same error on every page, or its sign changing from page to page: page metrics agree, this one does not."""
    target, labels = toon(8)
    steady = _cast(target, labels, [1] * 8)
    flicker = _cast(target, labels, [1, -1] * 4)
    assert 0 < float(steady.min()) < float(steady.max()) < 1  # nothing clips: the squared error is the same
    page = [{name: metrics.find_metric(name)(preds, target) for name in PIXELS} for preds in (steady, flicker)]
    torch.testing.assert_close(page[0]["psnr"], page[1]["psnr"], atol=1e-9, rtol=0)
    assert abs(float(page[0]["ssim"].mean() - page[1]["ssim"].mean())) < 0.01
    assert abs(float(page[0]["ciede2000"].mean() / page[1]["ciede2000"].mean()) - 1) < 0.1
    of_labels = [_consistency(preds, target, labels) for preds in (steady, flicker)]
    of_colors = [_consistency(preds, target) for preds in (steady, flicker)]
    for first, second in (of_labels, of_colors):
        assert first.identity > 0.995
        assert second.identity < 0.97
        assert second.drift > 5 * first.drift
    assert of_labels[0].drift < 0.1


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_the_truths_colours_find_the_characters_parts(seed):
    """Toon labels are exact: nearly every coloured part of a character is a region of its colour, without them."""
    target, labels = toon(6, seed=seed)
    by_color, by_label = (regions(target, target, names) for names in (None, labels))
    parts = by_label[by_label[:, 3:].norm(dim=1) > 12, 3:]
    apart = torch.cdist(parts, by_color[:, 3:].unique(dim=0)).min(1).values
    assert len(parts) > 50
    assert float((apart < 1).double().mean()) > 0.85  # the others share a cell with something, or are small


def test_consistency_is_the_written_out_analysis_of_variance():
    """Three identities on three pages, one seen once; the truth of one moves, and that is taken out."""
    seen = [[1, 10, 0, 12, 0], [2, -20, 5, -18, 5], [3, 0, 0, 40, 0]]
    seen += [[1, 14, 0, 12, 0], [2, -10, 5, -14, 5], [2, -12, 5, -10, 5]]
    rows = torch.tensor(seen, dtype=torch.float64)
    first = [10.0, 14.0]
    second = [-20 + 18 - 14.0, -10 + 14 - 14.0, -12 + 10 - 14.0]
    within = (np.var(first) + np.var(second)) / 2
    means = np.array([[np.mean(first), 0.0], [np.mean(second), 5.0]])
    between = ((means - means.mean(0)) ** 2).sum() / 2
    found = consistency(rows)
    assert found is not None
    assert found.identity == pytest.approx(between / (between + within), abs=1e-12)
    assert found.drift == pytest.approx(within**0.5, abs=1e-12)
    assert found.identities == 2
    assert consistency(torch.cat([rows[5:], rows[:3], rows[3:5]])) == found


def test_right_or_wrong_does_not_matter_but_gray_does():
    target, labels = toon(6)
    gray = target.mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    assert _consistency(gray, target).identity < 1e-4
    assert _consistency(target.flip(1), target, labels).identity > 0.999
    assert _consistency(pages(6, (96, 144)), target).identity < 0.5


def test_a_chapter_without_two_identities_has_no_value():
    target, labels = toon(2)
    gray = target.mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    assert math.isnan(float(metrics.color_identity(target, gray)))
    assert consistency(torch.zeros(0, 5)) is None
    metric = spec_metric("color_identity")
    metric.update(target, gray)
    assert math.isnan(float(metric.compute()))
    with pytest.raises(ValueError, match="labels"):
        regions(target, target, labels[:, 1:])


def test_chapters_are_measured_apart():
    (first, _), (second, _) = toon(4, seed=5), toon(4, seed=6)
    target = torch.cat([first, second])
    preds = torch.cat([first, second.roll(1, 1)])
    preds[5] = target[5]
    metric = spec_metric("color_identity")
    metric.update(preds, target, torch.tensor([0] * 4 + [1] * 4))
    expected = (1.0 + float(metrics.color_identity(preds[4:], second))) / 2
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-9)
    assert expected < 0.95


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 4, 5, 6], [2], [1, 3, 4], [6], [0, 5, 6]])
def test_an_answer_is_the_same_bits_whoever_asks(places):
    prepared = list(torch.rand(7, *SCORER.prepare(Image.new("RGB", (40, 56))).shape))
    found = SCORER.forward([prepared[place] for place in places], places)  # a product with one column: its bits hang on
    assert torch.equal(found, SCORER.forward(prepared)[places])  # the place in the batch
