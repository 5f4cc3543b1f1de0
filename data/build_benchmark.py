"""Make a benchmark folder of chapter folders: ``python data/build_benchmark.py source=DIR output=DIR``.

Pages and references are chosen by a seeded rule, stored as PNG at their native size beside their
inputs (gray copies, screenstyle or what ``styles=[...]`` names), and listed with digests in
``benchmark.json``. ``--help`` shows every option. The output appears when it is complete; one that is
already there, made of the same pages, is checked and kept.
"""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from colorflow import command, config
from colorflow.evaluation.bench.benchmark import BenchmarkError
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.schema import Style
from colorflow.styles.gray import GrayStyle

_log = logging.getLogger("build_benchmark")


def build_styles(cfg: DictConfig) -> list[Style]:
    """The styles that the config names, gray left out: it is made in any case.

    Raises:
        BenchmarkError: For a name that is no style.
        CheckpointError: For missing or wrong weights.
    """
    known = [GrayStyle.name, *(name for name in cfg.style if OmegaConf.is_dict(cfg.style[name]))]
    if not OmegaConf.is_list(cfg.styles) or not set(cfg.styles) <= set(known):
        raise BenchmarkError(f"styles: expected a list, any of [{','.join(known)}], got {cfg.styles}")
    return [config.build(cfg.style[name]) for name in cfg.styles if name != GrayStyle.name]


def build(cfg: DictConfig) -> None:
    """Build the benchmark, as the config says, and log what it holds.

    Raises:
        BenchmarkError: For missing options, and what ``build_benchmark`` refuses.
        DataError: For a source that cannot be used.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise BenchmarkError(f"missing {', '.join(missing)}; usage: data/build_benchmark.py source=DIR output=DIR")
    benchmark = build_benchmark(
        Path(to_absolute_path(str(cfg.source))),
        Path(to_absolute_path(str(cfg.output))),
        chapters=cfg.chapters if cfg.chapters is None else [str(name) for name in cfg.chapters],
        references=cfg.references,
        pages=cfg.pages,
        seed=cfg.seed,
        name=cfg.name,
        styles=build_styles(cfg),
        overwrite=cfg.overwrite,
    )
    chapters = benchmark.chapters
    own = sum(bool(chapter.references) for chapter in chapters)
    _log.info("%s: %d pages in %d chapters", benchmark.root, len(benchmark.pages), len(chapters))
    _log.info("%d chapters with a reference folder, %d leave-one-out", own, len(chapters) - own)
    _log.info("styles %s; sha256 of benchmark.json %s", ", ".join(benchmark.styles), benchmark.digest)


@command.main("build_benchmark")
def main(cfg: DictConfig) -> None:
    """Entry point."""
    build(cfg)


if __name__ == "__main__":
    main()
