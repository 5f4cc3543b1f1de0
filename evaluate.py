"""Evaluate: ``python evaluate.py method=colorflow weights=DIR benchmark=toon output=DIR``; see ``--help``."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from colorflow import config
from colorflow.evaluation.run import evaluate
from colorflow.utils.log import get_logger

config.register_resolvers()
log = get_logger("colorflow.evaluate")


def run(cfg: DictConfig, output: Path) -> None:
    """Evaluate the configured method on the configured benchmark; also called after training."""
    evaluate(
        config.build(cfg.method),
        config.build(cfg.benchmark),
        output,
        stage=cfg.stage,
        styles=config.to_dict(cfg.styles),
        base_seed=cfg.seed,
        **config.to_dict(cfg.metrics),
    )
    log.info("table and pictures: %s", output / "index.html")


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Entry point; expected errors end in one line."""
    try:
        config.check_keys(cfg)
        needed = {"weights"} if str(cfg.method.get("_target_", "")).endswith("colorflow_rows") else set()
        missing = {"output", *needed} & set(OmegaConf.missing_keys(cfg))
        if missing:
            raise config.ConfigError(f"missing {', '.join(sorted(missing))}; see python evaluate.py --help")
        run(cfg, Path(cfg.output))
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
