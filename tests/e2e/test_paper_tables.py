"""The paper's tables from the command line, at tiny size: one training stands for all of them."""

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from tiny.runs import call_main

import evaluate
from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.pipelines.export import load_export, save_gsrp

TABLES = {
    "table2": ["no_rap_in_training", "no_rap", "no_rap_at_inference", "colorflow_icp", "colorflow"],
    "table3": ["canvas_half", "colorflow", "canvas_larger"],
    "table4": ["rank_half", "colorflow", "rank_double", "rank_triple"],
    "table5": ["mu_0", "colorflow", "mu_3"],
}
ABLATIONS = ("no_rap", "rank_half", "rank_double", "rank_triple", "mu_0", "mu_3")


@pytest.fixture(scope="module")
def asked(debug_run, tmp_path_factory):
    """Overrides of a place where every training was run."""
    runs = tmp_path_factory.mktemp("tables") / "runs"
    baseline = runs / "quickstart/1/export"
    colorizer = debug_run.folder / "export"
    save_gsrp(FusionNetwork(load_export(colorizer).model.vae.config.block_out_channels), baseline, colorizer)
    for name in ABLATIONS:
        shutil.copytree(colorizer, runs / f"quickstart_{name}/1/export")
    return [
        f"paths.runs={runs}",
        "trainings=toon",
        "benchmark=folder",
        f"benchmark.root={debug_run.benchmark}",
        "recipe.sampling.num_inference_steps=1",
        "metrics=pixels",
        "metrics.metric_size=native",
    ]


@pytest.fixture(scope="module")
def tables(asked):
    """All of them by one command; the folder of their reports, and what was said."""
    with redirect_stdout(StringIO()) as said, redirect_stderr(said):
        assert call_main(evaluate, "-m", f"experiment={','.join(TABLES)}", *asked) is None
    return Path(asked[0].partition("=")[2]) / "tables/toon/seed_any", said.getvalue()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_stands_beside_the_papers(tables, name):
    folder, said = tables
    results = json.loads((folder / name / "results.json").read_text())
    assert [row["method"] for row in results["rows"]] == ["gray_copy", *TABLES[name]]
    assert results["protocol"]["paper_table"] == name
    assert f"Table {name[-1]}: " in said
    written = (folder / name / "paper.md").read_text()
    assert "/ 25.88 |" in written
    assert "Change against ColorFlow" in written
    assert 'id="beside"' in (folder / name / "index.html").read_text()


def test_tables_share_the_pages_of_rows_that_they_share(tables):
    folder, said = tables
    assert said.count("colorflow (gray): 4 pages coloured, 0 kept") == 1
    assert said.count("colorflow (gray): 0 pages coloured, 4 kept") == 3
    rows = [row for name in TABLES for row in json.loads((folder / name / "results.json").read_text())["rows"]]
    of_full = [row["metrics"] for row in rows if row["method"] == "colorflow"]
    assert all(metrics == of_full[0] for metrics in of_full)


def test_a_missing_training_is_named_and_can_be_skipped(tables, asked, tmp_path):
    here = [f"paths.runs={tmp_path}" if item.startswith("paths.runs") else item for item in asked]
    baseline = Path(asked[0].partition("=")[2]) / "quickstart/1/export"
    here.append(f"trainings.runs.baseline.export={baseline}")
    message = call_main(evaluate, "experiment=table5", *here)
    assert message is not None
    assert "no export of mu_0, mu_3" in message
    assert "python train.py experiment=quickstart then=null benchmark=none experiment_name=quickstart_mu_0" in message
    assert not (tmp_path / "tables").exists()
    assert call_main(evaluate, "experiment=table5", *here, "incomplete=mark") is None
    written = (tmp_path / "tables/toon/seed_any/table5/paper.md").read_text()
    assert "| 0 | - / 0.9351 |" in written


def test_a_failing_job_does_not_stop_the_others(tables, asked, tmp_path, capfd):
    """The others have the pages of an earlier sweep."""
    output = shutil.copytree(tables[0], tmp_path / "out", ignore=shutil.ignore_patterns("table*"))
    given = ["-m", "experiment=table5,table3", *asked, f"output={output}", "trainings.runs.mu_0.export=nowhere"]
    assert call_main(evaluate, *given) == "1"
    assert "expected an export folder with model_index.json, got nowhere" in capfd.readouterr().err
    assert (output / "table3/paper.md").is_file()
    assert not (output / "table5").exists()


def test_a_folder_of_pictures_stands_for_a_system_without_weights(tables, asked, tmp_path):
    folder, _ = tables
    pictures = folder / "predictions/mu_3"
    given = ["experiment=table1", "styles=[gray]", *asked, f"output={tmp_path}", f"paths.weights={tmp_path}"]
    assert call_main(evaluate, *given, f"predictions={{mcv2:{pictures}}}") is None
    results = json.loads((tmp_path / "table1/results.json").read_text())
    methods = ["gray_copy", "mcv2", "colorflow", "color_transfer", "patch_copy", "mean_tint"]
    assert [row["method"] for row in results["rows"]] == methods
    assert [row["method"] for row in results["incomplete"]] == ["acdo", "ebmc", "screenvae", "style2paints"]
    written = (tmp_path / "table1/paper.md").read_text()
    assert "| MC-v2 | no | gray | - / 0.8833 |" in written
    assert "Change against ColorFlow" in written
