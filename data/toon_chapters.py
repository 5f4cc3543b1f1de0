"""Draw comic chapters: ``python data/toon_chapters.py output=DIR chapters=8 pages=12 seed=0``.

Every page is written whole or not at all, so an interrupted run is finished by the same command.
``--help`` shows every option; data/cards/toon.md describes what is drawn.
"""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from colorflow import command
from colorflow.toon import ToonSpec, write_chapters

_log = logging.getLogger("toon_chapters")


def whole_numbers(cfg: DictConfig, key: str, count: int) -> tuple[int, ...]:
    """Read a list of ``count`` whole numbers.

    Raises:
        ValueError: For anything else.
    """
    value = OmegaConf.to_container(cfg)[key]  # type: ignore[call-overload, index]
    if not isinstance(value, list) or len(value) != count or any(type(number) is not int for number in value):
        raise ValueError(f"{key}: expected {count} whole numbers as [a,b], got {value}; e.g. {key}={EXAMPLES[key]}")
    return tuple(value)


EXAMPLES = {"size": "[256,400]", "cast": "[4,6]"}


def draw(cfg: DictConfig) -> list[Path]:
    """Write the chapters that the config asks for.

    Raises:
        ValueError: For options out of range.
        OSError: Where the output cannot be written.
    """
    if OmegaConf.missing_keys(cfg):
        raise ValueError("missing output; usage: python data/toon_chapters.py output=DIR")
    for key in ("chapters", "pages", "seed", "max_panels"):
        if type(cfg[key]) is not int:
            raise ValueError(f"{key}: expected a whole number, got {cfg[key]!r}; e.g. {key}=8")
    width, height = whole_numbers(cfg, "size", 2)
    fewest, most = whole_numbers(cfg, "cast", 2)
    switches = {key: bool(cfg[key]) for key in ("equal_luminance", "own_luminance", "bubbles")}
    spec = ToonSpec(
        (width, height), min_cast=fewest, max_cast=most, max_panels=cfg.max_panels, hue_span=cfg.hue_span, **switches
    )
    output = to_absolute_path(str(cfg.output))
    return write_chapters(output, cfg.chapters, cfg.pages, cfg.seed, spec, lines=bool(cfg.lines))


@command.main("toon_chapters")
def main(cfg: DictConfig) -> None:
    """Entry point."""
    folders = draw(cfg)
    _log.info("%d chapters of %d pages in %s", len(folders), cfg.pages, folders[0].parent)


if __name__ == "__main__":
    main()
