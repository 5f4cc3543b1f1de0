"""``then``: two trainings in one run, as the quickstart has them: colorizer, guided super-resolution, one table."""

import json

import pytest
from tiny.runs import QUIET, TINY, call_main, column

import train
from colorflow.config import load_config
from colorflow.pipelines.colorflow import ColorFlowPipeline


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """``python train.py experiment=quickstart``, tiny: its run folder, and what a second call needs to repeat it."""
    place = tmp_path_factory.mktemp("quickstart")
    command = [
        "experiment=quickstart",
        *TINY,
        *QUIET,
        f"paths.cache_dir={place / 'cache'}",
        f"paths.runs={place / 'runs'}",
        "model.gsrp.page_size=[96,144]",
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
        "callbacks.sample_grid.pages=0",
        "benchmark.spec.size=[64,96]",
        "benchmark.chapters=2",
        "benchmark.pages=2",
        "recipe.sampling.num_inference_steps=1",
    ]
    assert call_main(train, *command) is None
    (folder,) = (place / "runs" / "quickstart").iterdir()
    return folder, command


def test_the_export_has_all_stages_and_the_table_tells_them_apart(quickstart):
    folder, _ = quickstart
    export = folder / "export"
    names = {path.name for path in export.iterdir()}
    assert names == {"model_index.json", "guider", "lora", "scheduler", "base", "gsrp"}
    assert ColorFlowPipeline.from_pretrained(export).gsrp is not None
    assert f"python colorize.py weights={export} pages=DIR" in (folder / "log.txt").read_text()
    found = json.loads((folder / "evaluation" / "results.json").read_text())
    rows = {row["method"]: row["metrics"] for row in found["rows"]}
    assert list(rows) == ["gray_copy", "colorflow_icp", "colorflow", "colorflow_wrong_references"]
    assert rows["colorflow_icp"]["ssim"] != rows["colorflow"]["ssim"]


def test_the_second_run_has_a_folder_of_its_own(quickstart):
    folder, _ = quickstart
    inner = folder / "quickstart_gsrp"
    assert {path.name for path in inner.iterdir()} >= {"config.yaml", "run.json", "metrics.csv", "checkpoints"}
    assert not (inner / "export").exists()
    assert not (inner / "evaluation").exists()
    first, second = load_config(folder / "config.yaml"), load_config(inner / "config.yaml")
    assert (first["experiment_name"], second["experiment_name"]) == ("quickstart", "quickstart_gsrp")
    assert first["trainer"]["max_steps"] == second["trainer"]["max_steps"] == 2, "the command line holds for both"
    assert column(inner / "metrics.csv", "train/loss")


def test_a_finished_run_is_resumed_without_a_step(quickstart):
    folder, command = quickstart
    weights = sorted((folder / "export").rglob("*.safetensors"))
    before = {path: path.read_bytes() for path in weights}
    assert call_main(train, *command, f"resume={folder}") is None
    assert {path: path.read_bytes() for path in weights} == before
    assert not (folder / "quickstart_gsrp" / "metrics.csv").exists(), "nothing was trained; the old one is kept aside"
    assert list((folder / "quickstart_gsrp").glob("metrics_until_*.csv"))


def test_a_run_that_was_stopped_in_its_first_half_goes_on_to_the_second(quickstart):
    folder, command = quickstart
    for path in sorted((folder / "quickstart_gsrp").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (folder / "quickstart_gsrp").rmdir()
    assert call_main(train, *command, f"resume={folder}") is None
    assert column(folder / "quickstart_gsrp" / "metrics.csv", "train/loss")
    assert (folder / "export" / "gsrp").is_dir()


def test_a_dry_run_takes_a_step_of_both(quickstart, capsys):
    _, command = quickstart
    assert call_main(train, *command, "dry_run=true") is None
    said = capsys.readouterr().out
    assert "ICPTask" in said
    assert "GSRPTask" in said
