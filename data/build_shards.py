"""Make webdataset shards of chapter folders: ``python data/build_shards.py source=DIR output=DIR``.

For every page its pool and its twelve reference patches are recorded (paper, section 4.1), whole
chapters are held out as ``val-*.tar``, and pages that cannot be used are listed in ``skipped.json``.
``--help`` shows every option. The output appears when it is complete; an interrupted build leaves
``<output>.partial`` with the retrieval done so far, which the same command uses.
"""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import hydra
from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from colorflow.config import build
from colorflow.data.chapters import DataError
from colorflow.data.shards import ShardFormat, build_shards, partial_folder
from colorflow.data.sources import ChapterSource
from colorflow.pipelines.rap import build_retriever

_log = logging.getLogger("build_shards")


def run(cfg: DictConfig) -> None:
    """Record, split and write, as the config says.

    Raises:
        DataError: For data or folders that cannot be used.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise DataError(f"missing {', '.join(missing)}; usage: python data/build_shards.py source=DIR output=DIR")
    output = Path(to_absolute_path(str(cfg.output)))
    source_dir = Path(to_absolute_path(str(cfg.source)))
    if not source_dir.is_dir():
        raise DataError(f"source={cfg.source}: expected a folder of chapter folders, found none")
    style = build(cfg.style)
    styles = () if style.name == "gray" else (style,)
    folder = partial_folder(output)
    if any(folder.iterdir()):
        _log.warning("%s is left of an interrupted build; what was retrieved for it is used", folder)
    retriever = build_retriever(build(cfg.retrieval))
    form = ShardFormat(
        tuple(cfg.page_size), retriever.name, cfg.quality, cfg.subsampling, cfg.samples_per_shard, styles
    )
    records = folder / "records"
    splits = ChapterSource(
        source_dir,
        form.page_size,
        retriever,
        records,
        list(cfg.val_chapters) if OmegaConf.is_list(cfg.val_chapters) else cfg.val_chapters,
        pool_size=cfg.pool_size,
        seed=cfg.seed,
        allow_no_references=cfg.allow_no_references,
        max_skip_fraction=cfg.max_skip_fraction,
    ).splits()
    shutil.copyfile(records / "skipped.json", folder / "skipped.json")
    sets = {"train": splits.train} | ({"val": splits.val} if splits.val else {})
    index = build_shards(sets, output, form)
    for name, shards in index.splits.items():
        count, size = sum(shard.samples for shard in shards), sum(shard.bytes for shard in shards) / 1e6
        _log.info("%s: %d samples in %d shards, %.1f MB, in %s", name, count, len(shards), size, output)


@hydra.main(version_base="1.3", config_path="../configs", config_name="build_shards")
def main(cfg: DictConfig) -> None:
    """Run, and end what the user can mend in one line."""
    try:
        run(cfg)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
