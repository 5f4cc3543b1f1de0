"""Evaluate: ``python evaluate.py method=colorflow weights=DIR benchmark=toon output=DIR``; see ``--help``."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

from colorflow import config
from colorflow.evaluation.run import evaluate
from colorflow.evaluation.suite import MetricSettings
from colorflow.utils.log import get_logger, quiet_libraries

config.register_resolvers()
quiet_libraries()
log = get_logger("colorflow.evaluate")

_NEEDED_BY = {"weights": "colorflow_rows", "predictions": "predictions_rows"}


def run(cfg: DictConfig, output: Path) -> None:
    """Evaluate the configured method on the configured benchmark; also called after training."""
    settings = config.to_dict(cfg.metrics)
    evaluate(
        config.build(cfg.method),
        config.build(cfg.benchmark),
        output,
        stage=cfg.stage,
        styles=config.to_dict(cfg.styles),
        base_seed=cfg.seed,
        metric_size=settings.pop("metric_size"),
        ssim_window=settings.pop("ssim_window"),
        metrics=MetricSettings(**settings),
    )
    log.info("table and pictures: %s", output / "index.html")


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Entry point; what the user can mend ends in one line."""
    with config.one_line_errors():
        config.check_keys(cfg)
        rows = str(cfg.method.get("_target_", "")).rpartition(".")[2]
        needless = [key for key, user in _NEEDED_BY.items() if user != rows]
        config.check_complete(cfg, ignore=needless)
        config.check_folders(cfg)
        study = config.build(cfg.study)
        if study:
            study.run(Path(cfg.output))
        else:
            run(cfg, Path(cfg.output))


if __name__ == "__main__":
    main()
