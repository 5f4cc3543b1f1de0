"""A run folder of commit 99cab2b goes on as it did then: `fixtures.make_run` says how it was made."""

import json
import shutil

import numpy as np
import pytest
from fixtures.make_run import (
    COLORIZE,
    EVALUATE,
    FIXTURE,
    OF_THE_RUN,
    PAGE,
    REPLAY,
    RESUME,
    TRAIN,
    losses,
    scores,
    weights,
)
from hydra.utils import get_object
from PIL import Image
from tiny.runs import call_main

import colorize
import evaluate
import train
from colorflow.config import compose_config, load_config, to_dict
from colorflow.moved import TARGETS, todays
from colorflow.pipelines.icp import STEPS, Sampling

EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*not empty.*")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A copy of the fixture, from where the commands are given."""
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def targets(tree):
    if isinstance(tree, dict):
        yield from [tree["_target_"]] if "_target_" in tree else []
        tree = tree.values()
    for value in tree if isinstance(tree, list | type({}.values())) else ():
        yield from targets(value)


def test_its_configuration_names_what_there_is():
    """Also the parts that a replay does not build."""
    found = set(targets(load_config(FIXTURE / "run" / "config.yaml")))
    assert len(found) > 20
    for target in found | set(TARGETS.values()):
        assert callable(get_object(target))


def values(tree, path=""):
    """Every value of a configuration by its dotted path."""
    if isinstance(tree, dict) and tree:
        return {place: value for key in tree for place, value in values(tree[key], f"{path}.{key}").items()}
    return {path: tree}


def test_its_configuration_still_says_the_same():
    """But for where the package is; keys that are new since then have values of their own."""
    then, now = load_config(FIXTURE / "run" / "config.yaml"), to_dict(compose_config("train", [*TRAIN, *OF_THE_RUN]))
    for cfg in (then, now):
        for base in (cfg["model"]["base"], cfg["task"]["model"]["base"]):
            assert base.pop("pretrained").endswith("colorflow/assets/toon")
    now = values(now)
    for steps in (path for path in now if path.endswith("recipe.sampling.num_inference_steps")):
        assert Sampling(now[steps]).steps == STEPS  # null: what the weights ask for, which these do not
        now[steps] = STEPS
    assert {path: now.get(path, "gone") for path in values(then)} == values(then)


def test_older_names_of_keys():
    transformer = {"_target_": "colorflow.models.families.build_base", "network": "transformer"}
    assert todays({"model": {"family": "pixart_alpha", "base": transformer}}) == {
        "model": {"base": {"_target_": "colorflow.models.families.build_base", "family": "pixart"}}
    }
    vae = {"_target_": "colorflow.tasks.base_task.VAETask", "colour_weight": 2.0}
    assert todays([vae]) == [{"_target_": "colorflow.tasks.vae_task.VAETask", "color_weight": 2.0}]


def test_it_resumes(place):
    """Tolerances are for the arithmetic of another CPU, through two steps of Adam."""
    assert call_main(train, *RESUME) is None
    found = losses(place / "run")
    assert found.keys() == EXPECTED["losses"].keys()
    for name, values in EXPECTED["losses"].items():
        assert found[name].keys() == values.keys()
        for step, value in values.items():
            assert float(found[name][step]) == pytest.approx(float(value), rel=1e-4), f"{name} at step {step}"
    assert weights(place / "run") == pytest.approx(EXPECTED["weights"], rel=1e-4)


def test_its_step_is_replayed(place, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert call_main(train, *REPLAY) is None
    assert capsys.readouterr().out.split() == EXPECTED["replay"]


def test_its_export_is_evaluated(place):
    assert call_main(evaluate, *EVALUATE) is None
    found = scores(place / "evaluation")
    assert found.keys() == EXPECTED["scores"].keys()
    for row, metrics in EXPECTED["scores"].items():
        assert found[row] == pytest.approx(metrics, rel=1e-3, abs=1e-4, nan_ok=True)


def test_its_export_colors_a_page(place):
    assert call_main(colorize, *COLORIZE) is None
    found, then = (np.asarray(Image.open(path)).astype(int) for path in (place / PAGE, FIXTURE / "colored.png"))
    assert np.ptp(then, axis=-1).max() > 10  # it is in colour
    assert np.abs(found - then).max() <= 2  # of 255 levels
