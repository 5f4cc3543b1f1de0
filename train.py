"""Train: ``python train.py experiment=icp_lora64``. Configuration: configs/train.yaml and its groups."""

from __future__ import annotations

import sys
from pathlib import Path

import evaluate
import hydra
from lightning import seed_everything
from omegaconf import DictConfig

from colorflow import config
from colorflow.utils.log import get_logger

config.register_resolvers()
log = get_logger("colorflow.train")


def train(cfg: DictConfig) -> Path:
    """Build everything from the configuration, fit, export; returns the run folder."""
    run_dir = Path(cfg.paths.run_dir)
    checkpoint = find_checkpoint(cfg.resume)
    config.save_config(cfg, run_dir / "config.yaml")
    seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule = config.build(cfg.data.datamodule)
    task = config.build(cfg.task)
    callbacks = list(config.build(cfg.callbacks).values())
    trainer = config.build(cfg.trainer, callbacks=callbacks, logger=list(config.build(cfg.logger).values()))
    if checkpoint is None and cfg.validate_first:
        trainer.validate(task, datamodule=datamodule, verbose=False)
    trainer.fit(task, datamodule=datamodule, ckpt_path=checkpoint)
    if cfg.benchmark and trainer.is_global_zero:
        evaluate.run(cfg, run_dir / "evaluation")
    log.info("run folder: %s", run_dir)
    return run_dir


def find_checkpoint(resume: str | None) -> Path | None:
    """The last checkpoint of a run folder."""
    if resume is None:
        return None
    checkpoint = Path(resume) / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():
        raise config.ConfigError(
            f"resume: expected a run folder with checkpoints/last.ckpt, got {resume}; runs are in runs/<experiment>/<time>"
        )
    return checkpoint


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(cfg: DictConfig) -> None:
    """Entry point; expected errors end in one line."""
    try:
        config.check_keys(cfg)
        train(cfg)
    except (config.ConfigError, FileNotFoundError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
