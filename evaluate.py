"""Evaluate: ``python evaluate.py method=colorflow weights=DIR benchmark=toon output=DIR``; see ``--help``."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from colorflow import config
from colorflow.evaluation.methods import predictions_rows
from colorflow.evaluation.run import ALONE, MethodSpec, Work, evaluate
from colorflow.evaluation.suite import MetricSettings
from colorflow.utils.launch import find_place, join_ranks
from colorflow.utils.log import get_logger, quiet_libraries

config.register_resolvers()
quiet_libraries()
log = get_logger("colorflow.evaluate")


def run(cfg: DictConfig, output: Path, work: Work = ALONE) -> None:
    """Evaluate the configured method on the configured benchmark; also called after training."""
    settings, report = config.to_dict(cfg.metrics), config.build(cfg.report)
    benchmark = work.ranks.share("benchmark", lambda: str(config.build(cfg.benchmark)))  # made by one, if it must be
    evaluate(
        build_methods(cfg),
        benchmark,
        output,
        stage=cfg.stage,
        styles=config.to_dict(cfg.styles),
        base_seed=cfg.seed,
        metric_size=settings.pop("metric_size"),
        ssim_window=settings.pop("ssim_window"),
        metrics=MetricSettings(**settings),
        report=report,
        work=work,
    )
    log.info("table and pictures: %s", Path(report.folder or output) / "index.html")


def build_methods(cfg: DictConfig) -> dict[str, MethodSpec]:
    """The method's rows and those of folders of pictures; the latter alone where the method lacks its weights."""
    others = {} if cfg.predictions is None else predictions_rows(config.to_dict(cfg.predictions))
    if others and (takes_weights(cfg) and OmegaConf.is_missing(cfg, "weights")):
        return others
    rows = config.build(cfg.method)
    taken = rows.keys() & others.keys()
    if taken and rows != others:
        raise config.ConfigError(
            f"predictions: expected names that no other row has, got {', '.join(taken)}; set 'predictions={{NAME:DIR}}'"
        )
    return {**rows, **others}


def takes_weights(cfg: DictConfig) -> bool:
    """Whether the method's rows are those of ``weights``."""
    return config.refers_to(cfg.method, "export_folder")


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Entry point; what the user can mend ends in one line."""
    with config.one_line_errors():
        config.check_keys(cfg)
        needed = takes_weights(cfg) and cfg.predictions is None
        config.check_complete(cfg, ignore=() if needed else ["weights"])
        if not takes_weights(cfg) and not OmegaConf.is_missing(cfg, "weights"):
            raise config.ConfigError("weights: this method takes none; tables take trainings.runs.NAME.export=DIR")
        config.check_folders(cfg)
        study = config.build(cfg.study)
        with join_ranks(find_place()) as ranks:
            if not study:
                run(cfg, Path(cfg.output), Work(ranks, cfg.batch_size))
            elif ranks.first:  # seconds to minutes: the others wait
                study.run(Path(cfg.output))


if __name__ == "__main__":
    main()
