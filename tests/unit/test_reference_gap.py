"""The gap between right and wrong references: what is given to the model, what is measured, where it is logged."""

import csv
from dataclasses import replace

import pytest
import torch
from test_transforms import FULL, sample
from tiny.runs import SMALLER, tiny_config

import train
from colorflow import metrics
from colorflow.callbacks import reference_gap
from colorflow.callbacks.reference_gap import ReferenceGap, conditions, other_chapters, query
from colorflow.canvas import query_box
from colorflow.data.transforms import collate
from colorflow.pipelines.icp import ICPPipeline
from colorflow.utils.images import to_tensor

NAMES = {f"val/{metric}_{given}" for metric in ("psnr", "chroma_psnr") for given in ("right", "wrong", "none", "gap")}


def two_pages():
    first, second = (FULL(sample(), 0, place) for place in range(2))
    return collate([first, replace(second, condition=-second.condition, page_ids=("d/1",))])


def test_partners_are_of_another_chapter():
    assert other_chapters(["a/1", "a/2", "b/1", "c/1"]) == [2, 2, 3, 0]
    assert other_chapters(["a/1", "a/2"]) is None
    assert other_chapters(["part/a/1", "part/b/1"]) == [1, 0]
    with pytest.raises(ValueError, match="expected at least one page, got 0"):
        ReferenceGap(pages=0)


def test_only_the_references_are_exchanged():
    batch = two_pages()
    given = conditions(batch, [1, 0])
    inside = (batch.mask < 0.5).expand_as(batch.condition)
    assert inside.any()
    for canvases in given.values():
        assert torch.equal(canvases[inside], batch.condition[inside])
    assert torch.equal(given["right"], batch.condition)
    assert torch.equal(given["wrong"][0][~inside[0]], batch.condition[1][~inside[0]])
    assert torch.equal(given["none"][~inside], torch.ones_like(given["none"][~inside]))


def test_the_query_is_cut_out():
    transform = replace(FULL, train_size=(2 * FULL.page_size[0], 2 * FULL.page_size[1]))
    batch = transform(sample(), 0, 0)
    page = transform.canvases(sample(), 0, 0)[0].crop(query_box(FULL.page_size))
    assert torch.allclose(query(batch.target, batch.mask)[0], (to_tensor(page) + 1) / 2, atol=1e-6)


def fit(toon_cache, folder, *overrides):
    few = ("trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.limit_val_batches=1", "benchmark=none")
    few = (*few, "callbacks.sample_grid.pages=0", "validate_first=false")
    train.fit(tiny_config(toon_cache, folder, *SMALLER, *few, *overrides))
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row.get("val/loss")]


def test_a_run_logs_what_its_references_are_worth(toon_cache, tmp_path, monkeypatch):

    def paint(pipeline, condition, mask, sampling, generator):
        inside = (mask >= 0.5).float()
        mean = (condition * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True)
        return mean.expand_as(condition)

    seen = []

    def measure(shown, truth):
        seen.append((shown, truth))
        return metrics.psnr(shown, truth)

    monkeypatch.setattr(ICPPipeline, "__call__", paint)
    monkeypatch.setattr(reference_gap, "MEASURES", {"psnr": measure, "chroma_psnr": metrics.chroma_psnr})
    row = fit(toon_cache, tmp_path, "data.datamodule.source.chapters=4", "data.datamodule.source.val_chapters=2")[-1]
    assert set(row) >= NAMES
    right, wrong, none = seen
    assert torch.equal(right[1], wrong[1])
    assert torch.allclose(none[0], torch.ones_like(none[0]), atol=1e-5)
    assert float(row["val/psnr_right"]) == pytest.approx(float(metrics.psnr(*right).mean()), abs=1e-4)
    gap = metrics.psnr(*right).mean() - metrics.psnr(*wrong).mean()
    assert float(row["val/psnr_gap"]) == pytest.approx(float(gap), abs=1e-3)


def test_one_chapter_has_no_wrong_references(toon_cache, tmp_path):
    assert not NAMES & {name for name, value in fit(toon_cache, tmp_path)[-1].items() if value}
