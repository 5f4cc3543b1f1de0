"""evaluate.py from the outside: the same numbers again, stage by stage, and from a bare folder of pictures."""

import json
import math
import shutil

import pytest
from tiny.runs import call_main

import evaluate
from colorflow.config import load_config
from colorflow.pipelines.colorflow import ColorFlowPipeline


def results(folder):
    return json.loads((folder / "results.json").read_text())


def metrics(folder):
    """Metrics by row."""
    return {row["method"]: row["metrics"] for row in results(folder)["rows"]}


def plain(value):
    """A plain value as Hydra's command line takes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(plain(item) for item in value) + "]"
    if isinstance(value, str):
        return f"'{value}'"
    return {True: "true", False: "false", None: "null"}.get(value, str(value))


@pytest.fixture(scope="module")
def asked(debug_run):
    """What evaluates the exported model on the run's benchmark as the run itself did."""
    cfg = load_config(debug_run.folder / "config.yaml")
    return [
        "method=colorflow",
        f"weights={debug_run.folder / 'export'}",
        "benchmark=folder",
        f"benchmark.root={debug_run.benchmark}",
        f"method.rows={plain(cfg['method']['rows'])}",
        f"recipe.sampling.num_inference_steps={cfg['recipe']['sampling']['num_inference_steps']}",
        "metrics=pixels",  # as after training: whatever weights this machine has cached
        f"metrics.metric_size={plain(cfg['metrics']['metric_size'])}",
    ]


@pytest.fixture(scope="module")
def again(asked, tmp_path_factory):
    """The result of evaluate.py on all that."""
    output = tmp_path_factory.mktemp("evaluation") / "out"
    assert call_main(evaluate, *asked, f"output={output}") is None
    return output


def test_the_runs_own_evaluation_is_complete(debug_run):
    folder = debug_run.folder / "evaluation"
    found = metrics(folder)
    assert {"gray_copy", "colorflow", "colorflow_wrong_references"} <= found.keys()
    assert len(results(folder)["pages"]) == 4 * len(found)
    assert all(math.isfinite(value) for row in found.values() for value in row.values())
    assert {"index.html", "strip.png", "table.md", "table.tex"} <= {path.name for path in folder.iterdir()}
    assert len(list((folder / "predictions" / "colorflow" / "gray").rglob("*.png"))) == 4


def test_evaluate_gives_the_numbers_of_the_run(debug_run, again):
    assert metrics(again) == metrics(debug_run.folder / "evaluation")
    own = debug_run.folder / "evaluation" / "predictions"
    pictures = sorted(path.relative_to(own) for path in own.rglob("*.png"))
    assert len(pictures) == 4 * len(metrics(again))
    for path in pictures:
        assert (again / "predictions" / path).read_bytes() == (own / path).read_bytes()


def test_score_alone_loads_no_model(asked, again, tmp_path, monkeypatch):
    def loading(*_, **__):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(ColorFlowPipeline, "from_pretrained", loading)
    shutil.copytree(again / "predictions", tmp_path / "predictions")
    assert call_main(evaluate, *asked, f"output={tmp_path}", "stage=score") is None
    assert metrics(tmp_path) == metrics(again)
    assert not (tmp_path / "index.html").exists()
    assert call_main(evaluate, *asked, f"output={tmp_path}", "stage=report") is None
    assert (tmp_path / "index.html").is_file()
    assert (tmp_path / "strip.png").is_file()


def test_a_folder_of_pictures_is_scored_alike(debug_run, again, tmp_path):
    message = call_main(
        evaluate,
        "method=predictions",
        f"predictions={again / 'predictions' / 'colorflow'}",
        "benchmark=folder",
        f"benchmark.root={debug_run.benchmark}",
        "metrics=pixels",
        "metrics.metric_size=native",
        f"output={tmp_path}",
    )
    assert message is None
    assert metrics(tmp_path)["predictions"] == metrics(again)["colorflow"]
    assert metrics(tmp_path)["gray_copy"] == metrics(again)["gray_copy"]


def test_a_missing_picture_is_named(debug_run, again, tmp_path):
    shutil.copytree(again / "predictions" / "colorflow", tmp_path / "pictures")
    lost = sorted((tmp_path / "pictures").rglob("*.png"))[0]
    lost.unlink()
    overrides = ["benchmark=folder", f"benchmark.root={debug_run.benchmark}", f"output={tmp_path / 'out'}"]
    message = call_main(evaluate, "method=predictions", f"predictions={tmp_path / 'pictures'}", *overrides)
    assert message is not None
    assert lost.stem in message


def test_unknown_references_are_named(asked, tmp_path):
    row = "{_target_:colorflow.evaluation.rows.exports.Row,name:colorflow,references:mine}"
    overrides = [item for item in asked if not item.startswith("method.rows")]
    message = call_main(evaluate, *overrides, f"method.rows=[{row}]", f"output={tmp_path}")
    assert message is not None
    assert "got 'mine'" in message
    assert "own, other_chapter, none" in message
    assert "\n" not in message
