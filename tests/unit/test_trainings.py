"""Rows of several trainings: which export they take, what they share, and what is said of missing ones."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny.comics import draw_page
from tiny.models import PAGE_SIZE, VAE, tiny_model

from colorflow.baselines import predictions
from colorflow.evaluation.rows.exports import Row
from colorflow.evaluation.rows.trainings import (
    DifferentTrainingError,
    Training,
    Trainings,
    trained_rows,
)
from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.export import save_export
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.recipes import Recipe
from colorflow.retrieval.retriever import RandomRetriever, SimilarityRetriever, reference_pool
from colorflow.retrieval.settings import RetrievalSettings

FAST = Recipe(Sampling(num_inference_steps=1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline that retrieves by HOG and has super-resolution, an ablation that does neither."""
    root = tmp_path_factory.mktemp("runs")
    model = tiny_model().eval()
    with torch.random.fork_rng(devices=[]):
        fusion = FusionNetwork(VAE["block_out_channels"]).eval()
    save_export(model, root / "full/1/export", PAGE_SIZE, RetrievalSettings(kind="hog"), fusion)
    save_export(model, root / "random/1/export", PAGE_SIZE, RetrievalSettings(kind="random"))
    return root


def trainings(root: Path, **exports: str) -> Trainings:
    names = {"baseline": "full", "no_rap": "random", "mu_0": "never"}
    about = {"no_rap": ("retrieval",), "mu_0": ("diffusion.mu",)}
    runs = {
        name: Training(run, f"python train.py {run}", about.get(name, ()), exports.get(name))
        for name, run in names.items()
    }
    return Trainings("tiny", str(root), runs)


def pipelines(root: Path, rows: dict[str, list[Row]], **options: str) -> dict[str, ColorFlowPipeline]:
    specs = trained_rows(trainings(root), rows, FAST, device="cpu", **options)  # type: ignore[arg-type]
    return {name: spec.build() for name, spec in specs.items()}  # type: ignore[misc]


def test_rows_share_the_baselines_retrieval_and_super_resolution(runs: Path) -> None:
    rows = {
        "no_rap": [Row("no_rap_in_training", gsrp=True), Row("no_rap", gsrp=True, rap=False)],
        "baseline": [Row("icp", gsrp=False), Row("colorflow", gsrp=True)],
    }
    built = pipelines(runs, rows)
    assert list(built) == ["no_rap_in_training", "no_rap", "icp", "colorflow"]
    assert isinstance(built["no_rap_in_training"].retriever, SimilarityRetriever)  # though its export says random
    assert isinstance(built["no_rap"].retriever, RandomRetriever)
    assert [pipeline.gsrp is not None for pipeline in built.values()] == [True, True, False, True]
    assert built["no_rap"].icp is built["no_rap_in_training"].icp
    assert built["no_rap"].icp is not built["colorflow"].icp


def test_the_canvas_of_a_row_is_scaled(runs: Path) -> None:
    rows = {"baseline": [Row("canvas_half", canvas=0.5), Row("colorflow"), Row("canvas_larger", canvas=1.25)]}
    built = pipelines(runs, rows)
    width, height = PAGE_SIZE
    assert built["canvas_half"].page_size == (width // 2, height // 2)
    assert built["colorflow"].page_size == PAGE_SIZE
    assert built["canvas_larger"].page_size == (width * 5 // 4, height * 5 // 4)
    page = draw_page(5, (70, 110))
    pool = reference_pool(["one"], [draw_page(1, (64, 100))])
    for pipeline in built.values():
        assert pipeline.colorize(page, pool, seed=0).size == page.size


def test_a_row_is_the_same_in_every_table(runs: Path) -> None:
    """Tables share pages by fingerprints."""
    row, other = Row("colorflow", gsrp=True), Row("colorflow", gsrp=True, canvas=0.5)
    alone = trained_rows(trainings(runs), {"baseline": [row]}, FAST)["colorflow"].fingerprint
    beside = trained_rows(trainings(runs), {"no_rap": [Row("x")], "baseline": [row]}, FAST)["colorflow"].fingerprint
    changed = trained_rows(trainings(runs), {"baseline": [other]}, FAST)["colorflow"].fingerprint
    assert alone == beside != changed


def test_the_newest_whole_export_is_taken(runs: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(runs, tmp_path / "runs"))
    shutil.copytree(root / "full/1", root / "full/2")
    shutil.copytree(root / "random/1", root / "full/3")  # its super-resolution is still training
    (root / "full/4/export").mkdir(parents=True)
    assert trainings(root).find("baseline") == root / "full/2/export"
    shutil.copytree(root / "random/1", root / "random/2/0")  # of a sweep
    assert trainings(root).find("no_rap") == root / "random/2/0/export"
    assert trainings(root, baseline="elsewhere").find("baseline") == Path("elsewhere")
    with pytest.raises(ValueError, match="trainings=tiny: expected one of baseline, no_rap, mu_0, got 'rank'"):
        trainings(root).find("rank")


def test_the_trainings_of_one_seed_can_be_asked_for(runs: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(runs, tmp_path / "runs"))
    for number, seed in ((2, 0), (3, 1), (4, 0)):
        shutil.copytree(root / "full/1", root / f"full/{number}")
        (root / f"full/{number}/config.yaml").write_text(f"seed: {seed}")
    asked = trainings(root)
    assert asked.find("baseline") == root / "full/4/export"
    assert replace(asked, seed=1).find("baseline") == root / "full/3/export"
    assert replace(asked, seed=2).find("baseline") is None
    problem = trained_rows(replace(asked, seed=2), {"baseline": [Row("colorflow")]}, FAST)["colorflow"].problem
    assert problem is not None
    assert "\n  python train.py full seed=2\n" in problem.reason


def test_a_training_must_be_the_baselines_but_for_what_it_is_about(runs: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(runs, tmp_path / "runs"))
    baseline = {"seed": 0, "diffusion": {"mu": 1.5}, "style": {"name": "gray"}, "experiment_name": "full"}
    same = baseline | {"diffusion": {"mu": 0}, "experiment_name": "mu", "data": {"root": "/elsewhere"}}
    shutil.copytree(root / "random/1", root / "never/1")
    rows = {"mu_0": [Row("mu_0")], "baseline": [Row("colorflow", gsrp=True)]}

    def build(**changes: Any) -> list[str]:
        for folder, config in (("full/1", baseline), ("never/1", same | changes)):
            (root / folder / "config.yaml").write_text(yaml.safe_dump(config))
        return list(trained_rows(trainings(root), rows, FAST))

    assert build() == ["mu_0", "colorflow"]
    with pytest.raises(
        DifferentTrainingError, match=r"(?s)mu_0 .* differ in more than diffusion\.mu:\n  style\.name: mixed"
    ):
        build(style={"name": "mixed"})
    with pytest.raises(DifferentTrainingError, match="seed: 1, there 0"):
        build(seed=1)


def test_missing_trainings_are_named_by_their_commands(runs: Path, tmp_path: Path) -> None:
    rows = {"mu_0": [Row("mu_0")], "baseline": [Row("colorflow")]}
    specs = trained_rows(trainings(runs), rows, FAST)
    assert list(specs) == ["mu_0", "colorflow"]
    assert specs["colorflow"].problem is None
    problem = specs["mu_0"].problem
    assert problem is not None
    assert not problem.failed
    assert re.search(r"no export of mu_0 in .*make them by\n  python train.py never\n", problem.reason)
    assert "incomplete=mark does without" in problem.reason
    without = trained_rows(trainings(tmp_path), rows, FAST)  # nothing stands without the baseline
    for name in rows["mu_0"], rows["baseline"]:
        lacking = without[name[0].name].problem
        assert lacking is not None
        assert "no export of mu_0, baseline in" in lacking.reason


def test_folders_of_predictions_are_rows() -> None:
    assert list(predictions.rows("somewhere")) == ["predictions"]
    several = predictions.rows({"mcv2": "a", "acdo": "b"})
    assert {name: str(spec.predictions) for name, spec in several.items()} == {"mcv2": "a", "acdo": "b"}
    with pytest.raises(FileNotFoundError, match=r"predictions: expected a folder .*set predictions=DIR or"):
        predictions.rows(None)
