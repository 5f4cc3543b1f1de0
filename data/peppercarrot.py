"""Make chapter folders of downloaded Pepper&Carrot artwork: ``python data/peppercarrot.py source=DIR output=DIR``.

The comic is by David Revoy, CC BY 4.0; ``data/cards/peppercarrot.md`` says what to download. Pages without text are
known by the comic's own file names. Page 00 of an episode is its title, the last one its credits: both are left out.
Files are copied as they are, and the output appears when it is complete.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from colorflow import command
from colorflow.data.chapters import DataError

NAMES = re.compile(
    r"(?:gfx_Pepper-and-Carrot_by-David-Revoy_E(\d\d)P(\d\d)|/ep(\d\d)/p(\d\d))\.(?:png|jpe?g|gif)$"  # theirs, ours
)

ATTRIBUTION = """Artwork: "Pepper&Carrot" by David Revoy, licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/),
www.peppercarrot.com.
Changed: files renamed, one folder an episode; titles and credits left out. No picture was changed.
"""

Episodes = dict[str, dict[int, Path]]

_log = logging.getLogger("peppercarrot")


def find_pages(source: Path) -> Episodes:
    """Find the textless pages anywhere below a folder, hidden folders aside.

    Returns:
        Files by episode (``ep01``) and page number, both ascending.

    Raises:
        DataError: For a folder without such pages, and for a page that is there twice.
    """
    episodes: Episodes = defaultdict(dict)
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        match = NAMES.search(f"/{inside.as_posix()}")
        if match is None or any(part.startswith(".") for part in inside.parts):
            continue
        episode, page = (int(number) for number in match.groups() if number is not None)
        pages = episodes[f"ep{episode:02d}"]
        if page in pages:
            raise DataError(
                f"{source}: expected one picture a page, got {pages[page].relative_to(source)}, {inside}; set source "
                "to a folder with one of them"
            )
        pages[page] = path
    if not episodes:
        raise DataError(
            f"{source}: expected pages named gfx_Pepper-and-Carrot_by-David-Revoy_E01P01.png, found none; "
            "data/cards/peppercarrot.md says what to download"
        )
    return {name: dict(sorted(pages.items())) for name, pages in sorted(episodes.items())}


def without_strips(episodes: Episodes, keep_last: Collection[str] = ()) -> Episodes:
    """Leave out titles (page 00) and credits (the last page, but for the episodes in ``keep_last``).

    Raises:
        DataError: For an episode in ``keep_last`` that is not there.
    """
    absent = sorted(set(keep_last) - set(episodes))
    if absent:
        raise DataError(f"keep_last: no such episodes {absent}; there are {', '.join(episodes)}")
    kept = {}
    for name, pages in episodes.items():
        last = None if name in keep_last else max(pages)
        kept[name] = {number: path for number, path in pages.items() if number not in (0, last)}
        left_out = [f"p{number:02d}" for number in pages if number not in kept[name]]
        gaps = [f"p{number:02d}" for number in range(1, max(pages)) if number not in pages]
        _log.info("%s: %d pages, left out: %s", name, len(kept[name]), ", ".join(left_out) or "none")
        if gaps:
            _log.warning("%s: %s not found", name, ", ".join(gaps))
    return {name: pages for name, pages in kept.items() if pages}


def write_chapters(episodes: Episodes, output: Path) -> None:
    """Copy the pages to ``<output>/ep01/p01.png``, with the attribution beside them, whole or not at all.

    Raises:
        DataError: If something is there already.
    """
    if output.exists():
        raise DataError(f"{output}: expected no such folder yet; choose another output, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as temporary:
        fresh = Path(temporary) / output.name
        for name, pages in episodes.items():
            (fresh / name).mkdir(parents=True)
            for number, path in pages.items():
                shutil.copyfile(path, fresh / name / f"p{number:02d}{path.suffix}")
        (fresh / "ATTRIBUTION.md").write_text(ATTRIBUTION, encoding="utf-8")
        fresh.rename(output)


def run(cfg: DictConfig) -> None:
    """Find, leave out and copy, as the config says.

    Raises:
        DataError: For missing options, and folders that cannot be used.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise DataError(f"missing {', '.join(missing)}; usage: data/peppercarrot.py source=DIR output=DIR")
    source, output = (Path(to_absolute_path(str(folder))) for folder in (cfg.source, cfg.output))
    episodes = without_strips(find_pages(source), list(cfg.keep_last))
    write_chapters(episodes, output)
    _log.info("%s: %d pages of %d episodes", output, sum(map(len, episodes.values())), len(episodes))


@command.main("peppercarrot")
def main(cfg: DictConfig) -> None:
    """Entry point."""
    run(cfg)


if __name__ == "__main__":
    main()
