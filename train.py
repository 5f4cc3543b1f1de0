"""Train: ``python train.py experiment=icp_lora64``. Configuration: configs/train.yaml and its groups."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

import evaluate
from colorflow import command, config
from colorflow.utils.log import finish_wandb, get_logger, is_rank_zero

log = get_logger("colorflow.train")


def train(cfg: DictConfig, following: Sequence[DictConfig] = ()) -> Path:
    """Train, then what follows, then evaluate; returns the run folder."""
    run_dir = Path(cfg.paths.run_dir)
    for run in (cfg, *following):
        log.info("training %s in %s; metrics.csv there tells how far it is", run.experiment_name, run.paths.run_dir)
        fit(run)
    if cfg.benchmark and is_rank_zero():
        evaluate.run(cfg, run_dir / "evaluation")
    log.info("run folder: %s", run_dir)
    export = run_dir / "export"
    if (export / "model_index.json").is_file():
        log.info("to colour pages: python colorize.py weights=%s pages=DIR references=DIR output=DIR", export)
    return run_dir


def fit(cfg: DictConfig) -> None:
    """Build everything from the configuration, fit, export."""
    from lightning import seed_everything  # not before the command line is found right: it takes seconds

    run_dir = Path(cfg.paths.run_dir)
    checkpoint = find_checkpoint(cfg.resume, run_dir)
    seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule, task = config.build(cfg.data.datamodule), config.build(cfg.task)
    callbacks = list(config.build(cfg.callbacks).values())
    trainer = config.build(cfg.trainer, callbacks=callbacks, logger=list(config.build(cfg.logger).values()))
    if is_rank_zero():
        if checkpoint is not None:
            go_on(checkpoint)
        config.save_config(cfg, run_dir / "config.yaml")
    try:
        if checkpoint is None and cfg.validate_first:
            trainer.validate(task, datamodule=datamodule, verbose=False)
        trainer.fit(task, datamodule=datamodule, ckpt_path=checkpoint)
    finally:
        finish_wandb()


def dry_run(cfg: DictConfig) -> None:
    """Build everything, take one step without callbacks or logs, print what a run would need."""
    from colorflow.tasks.dry_run import StepCosts, cost_rows, memory_estimate, print_summary

    projection = config.build(cfg.projection)
    datamodule, task = config.build(cfg.data.datamodule), config.build(cfg.task)
    costs = StepCosts()
    quick = {"max_steps": 1, "limit_val_batches": 0, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = config.build(cfg.trainer, logger=False, callbacks=[costs], **quick)
    start = time.perf_counter()
    trainer.fit(task, datamodule=datamodule)
    seconds, loss = time.perf_counter() - start, float(trainer.callback_metrics["train/loss"])
    memory = memory_estimate(task, "ema" in cfg.callbacks)
    samples = cfg.trainer.max_steps * cfg.trainer.accumulate_grad_batches * datamodule.global_batch_size
    print_summary(task, datamodule, cost_rows(memory, costs, samples, projection), loss, seconds)


def replay(folder: Path) -> None:
    """Do a step again that was stopped for its loss, with the run's own configuration."""
    saved = folder.parent.parent / "config.yaml"
    if not saved.is_file():
        raise config.ConfigError(f"replay: expected RUN_FOLDER/not_finite/step_..., got {folder}, without {saved}")
    from colorflow.callbacks.replay import print_replayed, replay_step

    run = config.load_config(saved)
    print_replayed(replay_step(config.build(run["task"]), folder, str(run["trainer"]["precision"])))


def find_checkpoint(resume: str | None, run_dir: Path) -> Path | None:
    """The last checkpoint of the run folder that is gone on with; None for a new run."""
    checkpoint = (run_dir if resume is None else Path(resume)) / "checkpoints" / "last.ckpt"
    if checkpoint.is_file():
        return checkpoint
    if resume is None:
        return None
    raise config.ConfigError(
        f"resume: expected a run folder with checkpoints/last.ckpt, got {resume}; see runs/<experiment>/<time>"
    )


def go_on(checkpoint: Path) -> None:
    """Say so, and set the metrics until now aside: the logger starts a new file."""
    log.info("going on from %s", checkpoint)
    metrics = checkpoint.parents[1] / "metrics.csv"
    if metrics.is_file():
        metrics.rename(metrics.with_name(f"metrics_until_{time.strftime('%Y-%m-%d_%H-%M-%S')}.csv"))


@command.main("train")
def main(cfg: DictConfig) -> None:
    """Entry point: checks first, which need no torch."""
    config.check_keys(cfg)
    if cfg.replay:
        replay(Path(cfg.replay))
        return
    cfg.paths.run_dir = config.output_dir()
    following = config.following(cfg)
    for run in (cfg, *following):
        config.check_complete(run)
        config.check_folders(run)
        find_checkpoint(run.resume, Path(run.paths.run_dir))
    if not cfg.dry_run:
        train(cfg, following)
        return
    for run in (cfg, *following):
        dry_run(run)


if __name__ == "__main__":
    main()
