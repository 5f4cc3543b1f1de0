"""Colour chapters: ``python colorize.py pages=DIR references=DIR output=DIR weights=DIR``; see ``--help``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from colorflow import command, config
from colorflow.utils.hashing import digest_json
from colorflow.utils.log import get_logger

if TYPE_CHECKING:  # it imports torch: not before the command line is found right
    from colorflow.colorize.chapters import ColorizeReport

log = get_logger("colorflow.colorize")

_SAME_RESULT = ("device", "offload", "row_tile")  # keys of the pipeline that change where and how, not what


def colorize(cfg: DictConfig) -> ColorizeReport:
    """Find the pages, colour those that are not there, say what was done."""
    from colorflow.colorize.chapters import colorize_chapters, find_jobs

    jobs = find_jobs(cfg.pages, cfg.references)
    made_with = {key: value for key, value in config.to_dict(cfg.pipeline).items() if key not in _SAME_RESULT}
    options = config.build(cfg.options, fingerprint=digest_json(made_with))
    if cfg.attention.region is not None:
        options = replace(options, attention=config.build(cfg.attention))
    report = colorize_chapters(lambda: config.build(cfg.pipeline), jobs, Path(cfg.output), options)
    counts = {"coloured": report.colored, "kept": report.kept, "in colour already": report.passed_through}
    log.info("%s: %s", cfg.output, ", ".join(f"{len(pages)} {name}" for name, pages in counts.items()))
    if report.warnings:
        log.warning("warnings (%d), see above: %s", len(report.warnings), ", ".join(report.warnings))
    if report.failures:
        log.warning(
            "%d of %d pages failed, the same command tries them again:\n%s",
            len(report.failures),
            report.pages,
            report.listed(),
        )
    if report.failures and not any(counts.values()):
        raise RuntimeError(f"no page could be coloured; the first failure: {next(iter(report.failures.values()))}")
    return report


@command.main("colorize")
def main(cfg: DictConfig) -> None:
    """Entry point: checks first, which need no torch."""
    config.check_keys(cfg)
    config.check_complete(cfg)
    config.check_folders(cfg)
    colorize(cfg)


if __name__ == "__main__":
    main()
