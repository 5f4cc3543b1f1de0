"""Make webdataset shards of chapter folders: ``python data/build_shards.py source=DIR output=DIR``.

For every page its pool and its twelve reference patches are recorded (paper, section 4.1), whole
chapters are held out as ``val-*.tar``, and what cannot be used or would not teach is left out, counted in
``report.json`` and listed in ``skipped.json``. ``--help`` shows every option. Under torchrun, srun or submitit all
processes share the work, and the shards are the same. The output appears when it is complete; a build that was stopped
leaves ``<output>.partial``, and the same command goes on after the last finished chapter (docs/scaling.md).
"""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from colorflow import command
from colorflow.config import build
from colorflow.data.chapters import DataError
from colorflow.data.recording import Recorder
from colorflow.data.shards.build import ShardBuild, build_shards
from colorflow.data.shards.sample import ShardFormat
from colorflow.distributed.launch import find_place, join_ranks
from colorflow.distributed.ranks import Ranks
from colorflow.retrieval.settings import build_retriever

_log = logging.getLogger("build_shards")


def run(cfg: DictConfig, ranks: Ranks | None = None) -> None:
    """Build what the config says, as one of some processes; alone by default.

    Raises:
        DataError: For data or folders that cannot be used.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise DataError(f"missing {', '.join(missing)}; usage: python data/build_shards.py source=DIR output=DIR")
    output = Path(to_absolute_path(str(cfg.output)))
    index = build_shards(make_build(cfg), output, ranks)
    size = sum(shard.bytes for shards in index.splits.values() for shard in shards) / 1e6
    if ranks is None or ranks.first:
        _log.info("%s: %.1f MB; report.json and report.png (with matplotlib) tell what is in it", output, size)


def make_build(cfg: DictConfig) -> ShardBuild:
    """Build the retriever, the styles and the rules of the config.

    Raises:
        DataError: For a source that is no folder.
    """
    source = Path(to_absolute_path(str(cfg.source)))
    if not source.is_dir():
        raise DataError(f"source={cfg.source}: expected a folder of chapter folders, found none")
    style = build(cfg.style)
    styles = () if style.name == "gray" else (style,)
    retriever = build_retriever(build(cfg.retrieval), cache=False)  # each chapter is embedded once
    form = ShardFormat(
        tuple(cfg.page_size), retriever.name, cfg.quality, cfg.subsampling, cfg.samples_per_shard, styles
    )
    recorder = Recorder(
        retriever, form.page_size, None, cfg.pool_size, cfg.seed, cfg.allow_no_references, build(cfg.leave_out)
    )
    held_out = list(cfg.val_chapters) if OmegaConf.is_list(cfg.val_chapters) else cfg.val_chapters
    return ShardBuild(source, recorder, form, held_out, cfg.max_skip_fraction)


@command.main("build_shards")
def main(cfg: DictConfig) -> None:
    """Entry point."""
    with join_ranks(find_place()) as ranks:
        run(cfg, ranks)


if __name__ == "__main__":
    main()
