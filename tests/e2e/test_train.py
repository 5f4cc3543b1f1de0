"""train.py from the outside: what a run leaves behind, the dry run, wandb offline."""

import json
import math

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import wandb as tiny_wandb
from tiny.runs import SMALLER, call_main, column, tiny_config

import train
from colorflow.config import load_config
from colorflow.pipelines.colorflow import ColorFlowPipeline


def test_the_run_folder_is_complete(debug_run):
    names = {path.name for path in debug_run.folder.iterdir()}
    assert names >= {"config.yaml", "run.json", "metrics.csv", "checkpoints", "samples", "export", "evaluation"}
    checkpoints = {path.name for path in (debug_run.folder / "checkpoints").iterdir()}
    assert checkpoints == {"step_0000001.ckpt", "step_0000002.ckpt", "last.ckpt"}
    assert (debug_run.folder / "evaluation" / "index.html").stat().st_size > 1000
    assert str(debug_run.folder) in debug_run.said
    assert "Traceback" not in debug_run.said


def test_config_and_record_say_what_was_run(debug_run):
    cfg = load_config(debug_run.folder / "config.yaml")
    assert cfg["experiment_name"] == "debug"
    assert cfg["trainer"]["max_steps"] == 2
    assert cfg["paths"]["run_dir"] == str(debug_run.folder)
    record = json.loads((debug_run.folder / "run.json").read_text())
    assert record["seed"] == cfg["seed"]
    assert record["command"][1:] == ["experiment=debug", "paths.runs=runs"]
    trained = torch.load(debug_run.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert record["trained_parameters"] == sum(value.numel() for value in trained.values())


def test_metrics_hold_every_step_and_validation_from_step_zero(debug_run):
    path = debug_run.folder / "metrics.csv"
    losses, validation = column(path, "train/loss"), column(path, "val/loss")
    assert len(losses) == 2
    assert len(validation) == 2
    assert min(validation) == 0
    assert all(math.isfinite(value) and value > 0 for value in [*losses.values(), *validation.values()])
    bins = {f"val/loss_t{timestep:03d}" for timestep in (100, 300, 500, 700, 900)}
    assert set(path.read_text().splitlines()[0].split(",")) >= bins


def test_the_grids_show_condition_result_and_truth(debug_run):
    grids = sorted((debug_run.folder / "samples").iterdir())
    assert [path.name for path in grids] == ["step_0000000.png", "step_0000002.png"]
    for path in grids:
        grid = np.asarray(Image.open(path))
        assert grid.shape == (3 * (96 + 4) + 4, 64 + 2 * 4, 3)
        condition, result, truth = (grid[4 + row * 100 : 100 + row * 100, 4:68].astype(int) for row in range(3))
        query = (slice(28, 68), slice(20, 44))  # without the rim, where downsampling mixes it with references
        assert np.ptp(condition[query], axis=-1).max() == 0
        assert np.ptp(truth[query], axis=-1).max() > 50
        assert np.abs(result - truth).max() > 0


def test_the_export_loads_and_is_complete(debug_run):
    export = debug_run.folder / "export"
    index = json.loads((export / "model_index.json").read_text())
    assert index["page_size"] == [64, 96]
    assert index["retrieval"]["kind"] == "hog"
    assert {path.name for path in export.iterdir()} == {"model_index.json", "guider", "lora", "scheduler", "base"}
    lora = load_file(export / "lora" / "adapter_model.safetensors")
    saved = torch.load(debug_run.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert len(lora) == sum("lora_" in name for name in saved)
    pipeline = ColorFlowPipeline.from_pretrained(export)
    assert pipeline.page_size == (64, 96)
    guider = sum(value.numel() for name, value in saved.items() if ".guider." in name)
    assert sum(value.numel() for value in pipeline.icp.model.guider.parameters()) == guider


def test_a_dry_run_prints_a_summary_and_keeps_nothing(tmp_path, toon_cache, capsys):
    runs = tmp_path / "runs"
    places = [f"paths.runs={runs}", f"paths.cache_dir={toon_cache}"]
    assert call_main(train, "experiment=debug", "dry_run=true", *places) is None
    said = capsys.readouterr().out
    parts = ("ICPTask", "train pages", "AdamW moments", "average (EMA)", "first loss", "TFLOP a sample", "8 x H200")
    for part in (*parts, "days on", "largest batch there"):
        assert part in said
    kept = [path for path in runs.rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["log.txt"]


def test_wandb_offline(tmp_path, toon_cache, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    short = ["trainer.max_steps=1", "trainer.val_check_interval=1", "trainer.limit_val_batches=1"]
    grid = "callbacks.sample_grid={pages:1,num_inference_steps:1}"
    cfg = tiny_config(toon_cache, tmp_path, *SMALLER, *short, grid, "logger=wandb")
    try:
        train.train(cfg)
    finally:
        import wandb

        wandb.finish()
    folder = next((tmp_path / "wandb").glob("offline-run-*"))
    assert list(folder.glob("*.wandb"))
    assert list((folder / "files" / "media" / "images").glob("samples_*.png"))
    logged = {name: value for row in tiny_wandb.history(folder) for name, value in row.items()}
    for name in ("train/loss", "train/grad_norm", "val/loss", "watch/samples_per_second", "watch/loader_wait"):
        assert list(column(tmp_path / "metrics.csv", name).values())[-1] == logged[name]
    assert 0 <= logged["watch/loader_wait"] < 1
    assert logged["samples/count"] == 1
    kept = tiny_wandb.configuration(folder)
    assert kept["run"]["data"] == json.loads((tmp_path / "run.json").read_text())["data"] is not None
    assert kept["config"] == load_config(tmp_path / "config.yaml")
