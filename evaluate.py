"""Evaluate: ``python evaluate.py method=colorflow weights=DIR benchmark=toon output=DIR``; see ``--help``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from colorflow import command, config
from colorflow.utils.log import get_logger

if TYPE_CHECKING:  # they import torch: not before the command line is found right
    from colorflow.evaluation.stages import Work
    from colorflow.methods import Rows

log = get_logger("colorflow.evaluate")


def run(cfg: DictConfig, output: Path, work: Work | None = None) -> None:
    """Evaluate the configured methods on the configured benchmark; also called after training.

    Raises:
        EvaluationError: At the end, where rows failed and the others are whole.
    """
    from colorflow.evaluation.run import ALONE, evaluate
    from colorflow.evaluation.stages import EvaluationError
    from colorflow.metrics import MetricSettings

    work = work or ALONE
    settings, report = config.to_dict(cfg.metrics), config.build(cfg.report)
    methods = build_methods(cfg)  # before a benchmark is drawn: weights may be wrong
    benchmark = work.ranks.share("benchmark", lambda: str(config.build(cfg.benchmark)))  # made by one, if it must be
    results = evaluate(
        methods,
        benchmark,
        output,
        stage=cfg.stage,
        styles=config.to_dict(cfg.styles),
        base_seed=cfg.seed,
        metric_size=settings.pop("metric_size"),
        ssim_window=settings.pop("ssim_window"),
        incomplete=cfg.incomplete,
        metrics=MetricSettings(**settings),
        report=report,
        work=work,
    )
    log.info("table and pictures: %s", Path(report.folder or output) / "index.html")
    failed = [f"{row['method']} ({row['style']})" for row in results["incomplete"] if row["failed"]]
    if failed and cfg.stage != "report":
        raise EvaluationError(
            f"{len(failed)} rows failed and stand without numbers: {', '.join(failed)}; the reasons are above and in "
            "results.json; the others are whole, and the same command goes on"
        )


def build_methods(cfg: DictConfig) -> Rows:
    """The methods' rows and those of folders of pictures; the latter alone where the method lacks its weights."""
    from colorflow.baselines import predictions

    others = {} if cfg.predictions is None else predictions.rows(config.to_dict(cfg.predictions))
    if others and (takes_weights(cfg) and OmegaConf.is_missing(cfg, "weights")):
        return others
    rows = build_rows(cfg.method)
    taken = [name for name in others if name in rows and rows[name].problem is None]
    if taken and rows != others:
        raise config.ConfigError(
            f"predictions: expected names that no other row has, got {', '.join(taken)}; set 'predictions={{NAME:DIR}}'"
        )
    return {**rows, **others}


def build_rows(method: DictConfig) -> Rows:
    """The rows of a method, or of several by key, where one that cannot be made becomes a row with a problem."""
    from colorflow.methods import MethodSpec, Problem

    if "_target_" in method:
        return dict(config.build(method))
    rows: dict[str, MethodSpec] = {}
    for key, node in config.items(method):
        try:
            made = config.build(node)
        except (OSError, ValueError) as error:
            problem = Problem.of(error, f"method.{key}")
            made = {node.get("name", key): MethodSpec(problem=problem, label=node.get("label", ""))}
        if taken := rows.keys() & made.keys():
            raise config.ConfigError(
                f"method.{key}: expected a name of its own, got {', '.join(taken)}; set method.{key}.name=NAME"
            )
        rows |= made
    return rows


def takes_weights(cfg: DictConfig) -> bool:
    """Whether the method's rows are those of ``weights``."""
    return config.refers_to(cfg.method, "export_folder")


@command.main("evaluate")
def main(cfg: DictConfig) -> None:
    """Entry point: checks first, which need no torch."""
    config.check_keys(cfg)
    needed = takes_weights(cfg) and cfg.predictions is None
    config.check_complete(cfg, ignore=() if needed else ["weights"])
    if not takes_weights(cfg) and not OmegaConf.is_missing(cfg, "weights"):
        raise config.ConfigError("weights: this method takes none; tables take trainings.runs.NAME.export=DIR")
    config.check_folders(cfg)
    from colorflow.distributed.launch import find_place, join_ranks
    from colorflow.evaluation.stages import Work

    study = config.build(cfg.study)
    with join_ranks(find_place()) as ranks:
        if not study:
            run(cfg, Path(cfg.output), Work(ranks, cfg.batch_size))
        elif ranks.first:  # seconds to minutes: the others wait
            study.run(Path(cfg.output))


if __name__ == "__main__":
    main()
