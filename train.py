"""Train: ``python train.py experiment=icp_lora64``. Configuration: configs/train.yaml and its groups."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import hydra
from lightning import seed_everything
from omegaconf import DictConfig

import evaluate
from colorflow import config
from colorflow.tasks.dry_run import print_summary
from colorflow.utils.log import finish_wandb, get_logger, is_rank_zero, quiet_libraries

config.register_resolvers()
quiet_libraries()
log = get_logger("colorflow.train")


def train(cfg: DictConfig, following: Sequence[DictConfig] = ()) -> Path:
    """Train, then what follows, then evaluate; returns the run folder."""
    run_dir = Path(cfg.paths.run_dir)
    for run in (cfg, *following):
        log.info("training %s in %s", run.experiment_name, run.paths.run_dir)
        fit(run)
    if cfg.benchmark and is_rank_zero():
        evaluate.run(cfg, run_dir / "evaluation")
    log.info("run folder: %s", run_dir)
    return run_dir


def fit(cfg: DictConfig) -> None:
    """Build everything from the configuration, fit, export."""
    checkpoint = find_checkpoint(cfg.resume)
    config.save_config(cfg, Path(cfg.paths.run_dir) / "config.yaml")
    seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule, task = config.build(cfg.data.datamodule), config.build(cfg.task)
    callbacks = list(config.build(cfg.callbacks).values())
    trainer = config.build(cfg.trainer, callbacks=callbacks, logger=list(config.build(cfg.logger).values()))
    if checkpoint is None and cfg.validate_first:
        trainer.validate(task, datamodule=datamodule, verbose=False)
    trainer.fit(task, datamodule=datamodule, ckpt_path=checkpoint)
    finish_wandb()


def dry_run(cfg: DictConfig) -> None:
    """Build everything, take one step without callbacks or logs, print what a run would need."""
    datamodule, task = config.build(cfg.data.datamodule), config.build(cfg.task)
    quick = {"max_steps": 1, "limit_val_batches": 0, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = config.build(cfg.trainer, logger=False, **quick)
    start = time.perf_counter()
    trainer.fit(task, datamodule=datamodule)
    loss = float(trainer.callback_metrics["train/loss"])
    print_summary(task, datamodule, "ema" in cfg.callbacks, loss, time.perf_counter() - start)


def find_checkpoint(resume: str | None) -> Path | None:
    """The last checkpoint of a run folder."""
    if resume is None:
        return None
    checkpoint = Path(resume) / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():
        raise config.ConfigError(
            f"resume: expected a run folder with checkpoints/last.ckpt, got {resume}; see runs/<experiment>/<time>"
        )
    metrics = Path(resume) / "metrics.csv"
    if is_rank_zero() and metrics.is_file():  # the logger starts a new file
        metrics.rename(metrics.with_name(f"metrics_until_{time.strftime('%Y-%m-%d_%H-%M-%S')}.csv"))
    return checkpoint


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(cfg: DictConfig) -> None:
    """Entry point; what the user can mend ends in one line."""
    with config.one_line_errors():
        config.check_keys(cfg)
        cfg.paths.run_dir = config.output_dir()
        following = config.following(cfg)
        for run in (cfg, *following):
            config.check_complete(run)
            config.check_folders(run)
        if not cfg.dry_run:
            train(cfg, following)
            return
        for run in (cfg, *following):
            dry_run(run)


if __name__ == "__main__":
    main()
