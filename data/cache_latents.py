"""Encode the training pages once: ``python data/cache_latents.py experiment=NAME transform.views=1 data.latents=DIR``.

Takes the very overrides of the training that is to read the cache: ``python train.py`` with the same ones reads it, and
refuses it with others (docs/performance.md). Runs on all devices of ``trainer``; the same command goes on after a stop.
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from colorflow import command, config
from colorflow.data.latents import LatentWriter, ViewDataModule
from colorflow.utils.log import get_logger

log = get_logger("cache_latents")


def run(cfg: DictConfig) -> Path:
    """Encode and write; returns the folder."""
    if cfg.data.latents is None:
        raise config.ConfigError("data.latents: expected the folder to be made, got null; set data.latents=DIR")
    folder, settings = Path(cfg.data.latents), cfg.data.datamodule
    source, transform = config.build(settings.source), config.build(settings.transform)
    views = ViewDataModule(source, transform, folder, settings.global_batch_size, settings.num_workers)
    trainer = config.build(cfg.trainer, callbacks=[LatentWriter()], logger=False, enable_checkpointing=False)
    trainer.predict(config.build(cfg.task), datamodule=views, return_predictions=False)
    log.info("%s is complete", folder)
    return folder


@command.main("train")
def main(cfg: DictConfig) -> None:
    """Entry point."""
    config.check_keys(cfg)
    cfg.paths.run_dir = config.output_dir()
    config.check_complete(cfg)
    config.check_folders(cfg)
    run(cfg)


if __name__ == "__main__":
    main()
