"""Scoring: one resize rule, rules for folders that do not fit, rows that depend on nothing but the pictures."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny.benchmark import SIZE
from tiny.metrics import PIXELS

from colorflow.baselines.predictions import PredictionsError, PredictionsFolder
from colorflow.canvas import fit_page
from colorflow.evaluation.bench.benchmark import Benchmark
from colorflow.evaluation.results import Row
from colorflow.evaluation.score import score as score_module
from colorflow.evaluation.score.measuring import Job, Prepared
from colorflow.evaluation.score.protocol import Protocol
from colorflow.evaluation.score.score import score
from colorflow.metrics import PagePair, psnr
from colorflow.utils.files import read_jsonl

NATIVE = Protocol("native")


def _score(
    folder: PredictionsFolder, benchmark: Benchmark, protocol: Protocol = NATIVE, **options: object
) -> list[Row]:
    fresh = PredictionsFolder(folder.root, folder.style)
    return score(fresh, benchmark, protocol, method="tint", progress=False, **options).pages


def _copy_truth(benchmark: Benchmark, root: Path) -> PredictionsFolder:
    for chapter in ("a", "b"):
        shutil.copytree(benchmark.root / chapter / "target", root / "gray" / chapter)
    return PredictionsFolder(root, "gray")


def test_rows_hold_what_skimage_says_of_the_pictures(folder: PredictionsFolder, benchmark: Benchmark) -> None:
    rows = _score(folder, benchmark)
    assert [(row["method"], row["style"], row["chapter"], row["page"], row["seed"]) for row in rows] == [
        ("tint", "gray", page.chapter, page.name, 3 + page.index) for page in benchmark.pages
    ]
    for row in rows:
        prediction = np.asarray(Image.open(folder.folder / row["chapter"] / f"{row['page']}.png"))
        truth = np.asarray(Image.open(benchmark.root / row["chapter"] / "target" / f"{row['page']}.png"))
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, prediction), abs=1e-9)
        expected = structural_similarity(truth / 255, prediction / 255, data_range=1, channel_axis=2)
        assert row["ssim"] == pytest.approx(expected, abs=1e-12)


def test_metric_size_brings_prediction_and_truth_through_one_rule(
    folder: PredictionsFolder, benchmark: Benchmark
) -> None:
    size = (24, 32)
    row = _score(folder, benchmark, Protocol(size))[0]
    pictures = [Image.open(folder.folder / "a/000.png"), Image.open(benchmark.root / "a/target/000.png")]
    prediction, truth = (np.asarray(fit_page(picture, size)) for picture in pictures)
    assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, prediction), abs=1e-9)


def test_a_method_that_crops_the_page_is_compared_with_the_cropped_truth() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    truth = Image.fromarray(noise)
    fitted = Protocol((32, 32)).fit(fit_page(truth, (32, 32)), truth)
    assert float(psnr.of_page(PagePair.of(*fitted))) == math.inf
    with pytest.raises(ValueError, match="expected a picture of the aspect of 128 x 64, got 32 x 32"):
        NATIVE.fit(fit_page(truth, (32, 32)), truth)


def test_perfect_predictions(benchmark: Benchmark, tmp_path: Path) -> None:
    rows = _score(_copy_truth(benchmark, tmp_path / "copy"), benchmark)
    best = {"psnr": math.inf, "ssim": 1.0, "chroma_psnr": math.inf, "ciede2000": 0.0}
    assert [{name: row[name] for name in PIXELS} for row in rows] == [best] * 5
    assert all(row["prediction_sha256"] == row["target_sha256"] and row["seed"] is None for row in rows)


def test_rows_do_not_depend_on_the_order_of_files(
    folder: PredictionsFolder, benchmark: Benchmark, tmp_path: Path
) -> None:
    expected = _score(folder, benchmark)
    for source in sorted(folder.folder.rglob("*.png"), reverse=True):
        target = tmp_path / "reversed" / "gray" / source.relative_to(folder.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    rows = _score(PredictionsFolder(tmp_path / "reversed", "gray"), benchmark)
    assert [row | {"seed": None} for row in expected] == rows


def test_other_suffixes_will_do_but_one_a_page(folder: PredictionsFolder, benchmark: Benchmark) -> None:
    path = folder.folder / "a" / "000.png"
    Image.open(path).save(path.with_suffix(".webp"), lossless=True)
    with pytest.raises(PredictionsError, match=r"got 000\.png and 000\.webp"):
        _score(folder, benchmark)
    path.unlink()
    assert len(_score(folder, benchmark)) == 5


def test_missing_and_extra_pages_are_listed(folder: PredictionsFolder, benchmark: Benchmark) -> None:
    (folder.folder / "a" / "001.png").unlink()
    (folder.folder / "c").mkdir()
    shutil.copy(folder.folder / "a" / "000.png", folder.folder / "c" / "000.png")
    with pytest.raises(PredictionsError) as caught:
        _score(folder, benchmark)
    assert "1 missing (0 allowed) and 1 extra\n  missing: a/001\n  extra: c/000\n" in str(caught.value)


def test_allowed_missing_pages_are_left_out(
    folder: PredictionsFolder, benchmark: Benchmark, caplog: pytest.LogCaptureFixture
) -> None:
    expected = _score(folder, benchmark)
    (folder.folder / "a" / "001.png").unlink()
    rows = _score(folder, benchmark, max_missing=0.05)
    assert rows == [row for row in expected if (row["chapter"], row["page"]) != ("a", "001")]
    assert "1 pages are missing" in caplog.text
    (folder.folder / "b" / "001.png").unlink()
    with pytest.raises(PredictionsError, match="2 missing \\(1 allowed\\)"):
        _score(folder, benchmark, max_missing=0.05)


def test_no_folder_wrong_style_and_empty_chapters(folder: PredictionsFolder, benchmark: Benchmark) -> None:
    with pytest.raises(PredictionsError, match="check the path and the style"):
        score(PredictionsFolder(folder.root, "sketch"), benchmark, NATIVE, method="tint", progress=False)
    for path in folder.folder.rglob("*.png"):
        path.unlink()
    with pytest.raises(PredictionsError, match="5 missing"):
        _score(folder, benchmark, max_missing=1.0)


def test_wrong_aspect_and_torn_pictures_name_the_page(folder: PredictionsFolder, benchmark: Benchmark) -> None:
    path = folder.folder / "b" / "000.png"
    whole = path.read_bytes()
    Image.new("RGB", (SIZE[0] * 2, SIZE[1])).save(path)
    with pytest.raises(PredictionsError, match=r"tint: page b/000 .*expected a picture of the aspect of 40 x 56"):
        _score(folder, benchmark)
    path.write_bytes(whole[:60])
    with pytest.raises(PredictionsError, match=r"tint: page b/000 .*expected a readable picture"):
        _score(folder, benchmark)


def test_a_killed_scoring_goes_on_from_its_cache(
    folder: PredictionsFolder, benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, expected = tmp_path / "scores.jsonl", _score(folder, benchmark)
    scored: list[str] = []
    original = score_module.prepare

    def counting(job: Job, **options: object) -> Prepared:
        scored.append(job.page.chapter + job.page.name)
        return original(job, **options)

    def dying(job: Job, **options: object) -> Prepared:
        if (job.page.chapter, job.page.name) == ("b", "000"):
            raise KeyboardInterrupt
        return original(job, **options)

    monkeypatch.setattr(score_module, "prepare", dying)
    with pytest.raises(KeyboardInterrupt):
        _score(folder, benchmark, cache=cache)
    assert len(read_jsonl(cache)) == 3
    monkeypatch.setattr(score_module, "prepare", counting)
    assert _score(folder, benchmark, cache=cache) == expected
    assert sorted(scored) == ["b000", "b001"]


def test_the_cache_knows_changed_pictures_and_protocols(
    folder: PredictionsFolder, benchmark: Benchmark, tmp_path: Path
) -> None:
    cache, before = tmp_path / "scores.jsonl", _score(folder, benchmark, cache=tmp_path / "scores.jsonl")
    shutil.copy(benchmark.root / "a/target/000.png", folder.folder / "a" / "000.png")
    rows = _score(folder, benchmark, cache=cache)
    assert rows[0]["psnr"] == math.inf
    assert rows[0]["seed"] is None
    assert rows[1:] == before[1:]
    assert _score(folder, benchmark, Protocol((24, 32)), cache=cache) == _score(folder, benchmark, Protocol((24, 32)))


@pytest.mark.parametrize("size", [(8, 8), (512,), (0, 800)])
def test_impossible_sizes_are_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="metric_size: expected"):
        Protocol(size)


def test_the_digest_tells_protocols_apart() -> None:
    digests = {Protocol().digest, NATIVE.digest, Protocol(ssim_window="gaussian11").digest, Protocol((512, 800)).digest}
    assert len(digests) == 3
