"""Every configuration file: it composes, names what exists, builds and takes a step; mistakes end in one line."""

import inspect
import math
import re
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from tiny.runs import SMALLER, TINY_IDENTITY, TINY_PIXART, call_main, run_script, tiny_config

import evaluate
import train
from colorflow import config
from colorflow.config import CONFIGS, ConfigError, compose_config, to_dict
from colorflow.evaluation.report.paper import TABLES
from colorflow.evaluation.rows.trainings import compare

EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
EVALUATIONS = [
    name
    for name in EXPERIMENTS
    if re.search(r"evaluate\.py (-m )?experiment=", (CONFIGS / "experiment" / f"{name}.yaml").read_text())
]
TRAININGS = [name for name in EXPERIMENTS if name not in EVALUATIONS]
FILES = sorted(CONFIGS.rglob("*.yaml"))
MAINS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
OPTIONS = {
    group: [f"{group}={path.stem}" for path in sorted((CONFIGS / group).glob("*.yaml"))]
    for group in sorted({path.parent.relative_to(CONFIGS).as_posix() for path in FILES} - {".", "experiment", "hydra"})
}
"""By group."""
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
NETWORKS = {"icp_lora64": "unet", "icp_pixart_lora128": "transformer"}
"""Base network of an experiment: its tiny run must be one of the same classes."""
STEP = ("trainer.max_steps=1", "trainer.limit_val_batches=0", "lr_scheduler.num_warmup_steps=0")


def targets(tree):
    """Every mapping of a plain tree that has a ``_target_``."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield tree
        for value in tree.values():
            yield from targets(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from targets(value)


def check_call(node, complete):
    """The target exists and takes the keys; ``complete``: the keys are all it needs."""
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    keys = node.keys() - HYDRA_KEYS
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        assert not keys - parameters.keys(), f"{node['_target_']} does not take {sorted(keys - parameters.keys())}"
    if complete and not node.get("_partial_"):
        needed = {
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        }
        assert needed <= keys, f"{node['_target_']} also needs {sorted(needed - keys)}"


@cache
def default_groups(name):
    """The groups that a main file has."""
    return {key for item in OmegaConf.load(CONFIGS / f"{name}.yaml").defaults for key in item if isinstance(key, str)}


def test_the_files_are_found():
    assert {"debug", "quickstart", "icp_lora64", "icp_norap"} <= set(EXPERIMENTS)
    assert {"figure9", "table1", "table2", "table3", "table4", "table5"} <= set(EVALUATIONS)
    assert {"train", "evaluate"} <= set(MAINS)
    wanted = {"model=sd15", "callbacks=default", "retrieval=none", "logger=wandb", "hydra/launcher=slurm"}
    assert wanted <= set(chain(*OPTIONS.values()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_target_of_a_file_exists_and_takes_its_keys(path):
    for node in targets(OmegaConf.to_container(OmegaConf.load(path), resolve=False)):
        check_call(node, complete=False)


@pytest.mark.parametrize("name", MAINS)
def test_every_main_file_composes(name):
    cfg = compose_config(name, [])
    assert "hydra" not in cfg
    for node in targets(OmegaConf.to_container(cfg, resolve=False)):
        check_call(node, complete=True)


def selections():
    """Every option of every group once, in a main file that has the group; groups that both have are train's."""
    of_train = default_groups("train")
    for main in ("train", "evaluate"):
        groups = [options for group, options in OPTIONS.items() if (group in of_train) == (main == "train")]
        for options in zip_longest(*groups):
            yield main, [option for option in options if option]


@pytest.mark.parametrize(("main", "options"), [*selections()], ids=lambda value: "".join(value[-1:]))
def test_every_group_option_composes(main, options):
    for node in targets(OmegaConf.to_container(compose_config(main, options), resolve=False)):
        check_call(node, complete=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_resolves_and_names_itself(name):
    given = ["data.root=somewhere", "weights=random", "paths.run_dir=runs/x"]
    main, given = (
        ("evaluate", ["output=out", "weights=x", "predictions=x"]) if name in EVALUATIONS else ("train", given)
    )
    cfg = to_dict(compose_config(main, [f"experiment={name}", *given]))
    assert cfg["experiment_name"] == name
    for node in targets(cfg):
        check_call(node, complete=True)


@pytest.mark.parametrize("name", TRAININGS)
def test_every_experiment_takes_a_step(name, toon_cache, tmp_path):
    more = SMALLER[1:] if name.startswith("icp") else ()  # they are for a large model; its rank is what they are about
    more = ("model.gsrp.page_size=[96,144]",) if name == "gsrp" else more  # a quarter of the family's pixels
    more = TINY_PIXART if "pixart" in name else TINY_IDENTITY if name.startswith("identity") else more
    cfg = tiny_config(toon_cache, tmp_path, *STEP, *more, experiment=name)
    callbacks = list(config.build(cfg.callbacks).values())
    loggers = list(config.build(cfg.logger).values())
    datamodule, task = config.build(cfg.data.datamodule), config.build(cfg.task)
    before = {key: value.detach().clone() for key, value in task.trainable().items()}
    trainer = config.build(cfg.trainer, callbacks=callbacks, logger=loggers)
    trainer.fit(task, datamodule=datamodule)
    assert trainer.global_step == 1
    assert math.isfinite(trainer.callback_metrics["train/loss"])
    assert name not in NETWORKS or task.model.denoiser.part == NETWORKS[name]
    exported = "base" if name.endswith(("_base", "_vae", "_codec")) else "export"
    assert list((tmp_path / exported).rglob("*.safetensors"))
    if exported == "export":  # bases are halved by their export
        assert any(not torch.equal(value, before[key]) for key, value in task.trainable().items())


SETS = {path.stem: path for path in (CONFIGS / "trainings").glob("*.yaml")}


@pytest.mark.parametrize("name", SETS)
def test_the_commands_of_ablations_change_what_they_say_alone(name):
    """Composed as a user would run them; their names are where the tables look."""
    runs = to_dict(OmegaConf.load(SETS[name]).runs)
    composed = {}
    for training, run in runs.items():
        script, *overrides = run["command"].removeprefix("python ").split()
        assert script == "train.py"
        cfg = to_dict(compose_config("train", [item.replace("=DIR", "=x") for item in overrides]))
        assert cfg["experiment_name"] == run["run"]
        composed[training] = cfg
    for training, run in runs.items():
        assert not compare(composed[training], composed["baseline"], run["changes"])
        assert training == "baseline" or compare(composed[training], composed["baseline"], [])
    assert [composed[key]["diffusion"]["mu"] for key in ("mu_0", "baseline", "mu_3")] == [0, 1.5, 3]
    ranks = [composed[key]["model"]["lora"]["r"] for key in ("rank_half", "baseline", "rank_double", "rank_triple")]
    assert [rank / ranks[1] for rank in ranks] == [0.5, 1, 2, 3]
    assert composed["no_rap"]["retrieval"]["kind"] == "random"


def test_rows_of_tables_stand_on_the_training_of_their_name():
    of_baseline = {"colorflow", "colorflow_icp", "no_rap_at_inference", "canvas_half", "canvas_larger"}
    for name in ("table1", "table2", "table3", "table4", "table5"):
        method = compose_config("evaluate", [f"experiment={name}"]).method
        rows = to_dict(method.colorflow.rows if name == "table1" else method.rows)
        rows = {row["name"]: (training, row) for training, group in rows.items() for row in group}
        for row, (training, options) in rows.items():
            expected = "baseline" if row in of_baseline else "no_rap" if row.startswith("no_rap") else row
            assert training == expected
            assert options.get("rap", True) is (row not in {"no_rap", "no_rap_at_inference"})
            assert options["gsrp"] is (row != "colorflow_icp")
            assert options.get("canvas", 1) == {"canvas_half": 0.5, "canvas_larger": 1.25}.get(row, 1)
        assert {row.method for row in TABLES[name].rows} - {"mcv2", "acdo", "ebmc", "screenvae"} == rows.keys()


@cache
def sd15_task(experiment):
    cfg = compose_config("train", [f"experiment={experiment}", "weights=random", "data.root=unused"])
    with torch.device("meta"):
        return config.build(cfg.task)


def millions(parameters):
    return round(sum(parameter.numel() for parameter in parameters) / 1e6, 1)


@pytest.mark.parametrize(
    ("experiment", "lora"),
    [
        ("icp_lora64", 23.9),
        pytest.param("icp_lora32", 12.0, marks=pytest.mark.slow),
        pytest.param("icp_lora128", 47.9, marks=pytest.mark.slow),
        pytest.param("icp_lora192", 71.8, marks=pytest.mark.slow),
    ],
)
def test_full_size_parameter_counts(experiment, lora):
    """Of the paper's model, from its configuration alone; LoRA grows with its rank."""
    task = sd15_task(experiment)
    trained = task.trainable()
    assert {parameter.device.type for parameter in task.parameters()} == {"meta"}
    assert millions(p for key, p in task.model.unet.named_parameters() if "lora_" not in key) == 859.5
    assert millions(task.model.guider.parameters()) == 842.1
    assert millions(p for key, p in trained.items() if "lora_" in key) == lora
    assert millions(trained.values()) == pytest.approx(842.1 + lora, abs=0.11)


def experiment_file(folder: Path, text: str) -> list[str]:
    """Overrides that compose an experiment file of the given content, which lies outside configs/."""
    (folder / "experiment").mkdir()
    (folder / "experiment" / "typo.yaml").write_text(f"# @package _global_\n{text}\n")
    return ["experiment=typo", f"hydra.searchpath=[file://{folder}]", "data.root=unused"]


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("optimizer: {lrr: 1.0e-4}", "optimizer.lrr", "optimizer.lr"),
        ("optimiser: {lr: 1.0e-4}", "optimiser", "optimizer"),
        ("model: {lora: {rr: 4}}", "model.lora.rr", "model.lora.r"),
        ("trainer: {max_step: 10}", "trainer.max_step", "trainer.max_steps"),
        (
            "data: {datamodule: {globalbatch_size: 4}}",
            "data.datamodule.globalbatch_size",
            "data.datamodule.global_batch_size",
        ),
        ("callbacks: {emaa: {decay: 0.9}}", "callbacks.emaa", "callbacks.ema"),
        ("diffusion: {mu: 1, sigma: 2}", "diffusion.sigma", None),
    ],
)
def test_a_mistyped_key_of_an_experiment_file_is_named(tmp_path, text, key, near):
    with pytest.raises(ConfigError) as caught:
        compose_config("train", experiment_file(tmp_path, text))
    assert f"unknown key {key!r}" in str(caught.value)
    assert near is None or f"did you mean {near}?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_experiment_file_may_set_what_the_target_takes(tmp_path):
    cfg = compose_config(
        "train", experiment_file(tmp_path, "trainer: {limit_train_batches: 3}\noptimizer: {eps: 1.0e-6}")
    )
    assert (cfg.trainer.limit_train_batches, cfg.optimizer.eps) == (3, 1e-6)


@pytest.mark.parametrize(
    ("module", "override"),
    [(train, "optimizer.lrr=1"), (train, "experiment=nothing"), (train, "+optimizer.lrr=1"), (evaluate, "stagee=all")],
)
def test_a_mistyped_override_fails_and_is_named(module, override, tmp_path, capfd):
    message = call_main(module, override, "data.root=unused", f"paths.runs={tmp_path}")
    said = f"{message}\n{capfd.readouterr().err}"
    assert message
    assert message != "0"
    assert override.lstrip("+").split("=")[0].split(".")[-1] in said


TOON = ("model=toon", "data=toon", "retrieval=hog", "trainer=cpu")
MISTAKES = {
    "no data.root": (train, ["experiment=icp_lora64"], "missing data.root: set data.root=..."),
    "no weights": (train, ["experiment=toon_base"], "got 'runs/toon_vae/TIME/base'"),
    "no such folder": (train, ["data.root={tmp}/none"], "data.root: expected a folder, found none at {tmp}/none"),
    "no such benchmark": (
        train,
        [*TOON, "benchmark=folder", "benchmark.root={tmp}/none"],
        "benchmark.root: expected a folder, found none at {tmp}/none",
    ),
    "no such weights": (train, [*TOON, "weights={tmp}/none"], "set weights=FOLDER"),
    "no network": (train, [*TOON, "weights=nobody/nothing"], "download it on a machine with a network"),
    "no such run": (train, [*TOON, "resume={tmp}/none"], "resume: expected a run folder"),
    "no such follower": (
        train,
        [*TOON, "then=nothing"],
        "then: expected one of debug, evidence_palette, evidence_smoke",
    ),
    "a follower without data": (train, ["experiment=quickstart", "then=gsrp"], "missing data.root"),
    "no export to add to": (
        train,
        [*TOON, "callbacks=minimal", "then=gsrp"],
        "then=gsrp: expected callbacks with an export that takes a colorizer",
    ),
    "no such dtype": (train, [*TOON, "weights=random", "model.gradient_checkpointing=[vae]"], "['guider', 'unet']"),
    "nothing given": (evaluate, [], "missing benchmark.root, output, weights: set benchmark.root=... output=..."),
    "no predictions": (
        evaluate,
        ["method=predictions", "benchmark.root={tmp}", "output=x"],
        "got none; set predictions=DIR",
    ),
    "needless weights": (
        evaluate,
        ["method=gray_copy", "weights={tmp}", "benchmark.root={tmp}", "output=x"],
        "weights: this method takes none",
    ),
    "no export": (evaluate, ["weights={tmp}", "benchmark.root={tmp}", "output=x"], "expected an export folder"),
    "no benchmark": (evaluate, ["method=gray_copy", "benchmark.root={tmp}/none", "output={tmp}/out"], "{tmp}/none"),
    "no such stage": (
        evaluate,
        ["method=gray_copy", "benchmark.root={tmp}", "output={tmp}/out", "stage=draw"],
        "stage: expected one of all, generate, score, report, got 'draw'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_line(mistake, tmp_path):
    module, overrides, expected = MISTAKES[mistake]
    runs = [f"paths.runs={tmp_path}/runs"]
    message = call_main(module, *(item.format(tmp=tmp_path) for item in overrides), *runs)
    assert message is not None
    assert expected.format(tmp=tmp_path) in message
    assert "\n" not in message.strip()
    assert not list(tmp_path.rglob("log.txt"))


def test_a_script_exits_with_that_line(tmp_path):
    done = run_script("evaluate.py", "output=x", f"paths.runs={tmp_path}", cwd=tmp_path)
    assert done.returncode == 1
    expected = "ConfigError: missing benchmark.root, weights: set benchmark.root=... weights=..."
    assert done.stderr.strip().splitlines()[-1] == expected
    assert "Traceback" not in done.stderr


def test_the_run_folder_is_hydras(tmp_path, monkeypatch):
    """So that all processes of a run share one (Lightning hands it on), and jobs of a sweep do not."""
    seen = []
    monkeypatch.setattr(train, "train", lambda cfg, following: seen.append(Path(cfg.paths.run_dir)))
    plain = ["experiment=debug", f"paths.runs={tmp_path}"]
    assert call_main(train, *plain) is None
    assert call_main(train, *plain, f"hydra.run.dir={tmp_path}/given") is None
    assert call_main(train, *plain, f"paths.run_dir={tmp_path}/mine") is None
    assert call_main(train, "-m", *plain, "seed=1,2") is None
    assert seen[0].parent == tmp_path / "debug"
    assert seen[1:3] == [tmp_path / "given", tmp_path / "mine"]
    assert [path.name for path in seen[3:]] == ["0", "1"]
    assert len({path.parent for path in seen[3:]}) == 1


def test_smaller_is_smaller(tmp_path):
    """The overrides of tiny runs reach the model."""
    tasks = [config.build(tiny_config(tmp_path, tmp_path, *more).task) for more in ((), SMALLER)]
    large, small = (sum(parameter.numel() for parameter in task.parameters()) for task in tasks)
    assert small < large / 5
