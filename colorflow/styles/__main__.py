"""``python -m colorflow.styles strip|sheet page=FILE out=FILE``: what the styles make of a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from PIL import Image

from colorflow.styles.sheets import draw_figure_4, draw_sheet, screen_of
from colorflow.utils.images import load_image, save_png

_USAGE = """usage: python -m colorflow.styles strip|sheet page=FILE[,FILE...] out=FILE.png [key=value ...]

  strip   the paper's Fig. 4: colour, gray, 0.66 and 0.33 of gray, screentone; one page
  sheet   every style of each page
  height  pixels that a page is brought to first (default 800); the pictures are not scaled afterwards
  weights released ColorFlow folder, for ScreenVAE and the line extractor (default: procedural screentone alone)
  seed    of all that is random (default 0)
"""
_DEFAULTS = {"page": "", "out": "", "height": "800", "weights": "", "seed": "0"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 after an error on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_USAGE)
        return 0 if given else 1
    try:
        picture, out = _picture(given[0], _options(given[1:]))
        save_png(picture, out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"written: {out} ({picture.width} x {picture.height})")
    return 0


def _options(arguments: Sequence[str]) -> dict[str, str]:
    """Read ``key=value`` arguments.

    Raises:
        ValueError: For other arguments, unknown keys, and without page or out.
    """
    pairs = {key: value for key, _, value in (item.partition("=") for item in arguments)}
    unknown = sorted(pairs.keys() - _DEFAULTS.keys())
    if unknown:
        raise ValueError(f"expected key=value with keys {', '.join(_DEFAULTS)}, got {', '.join(unknown)}; see --help")
    options = _DEFAULTS | pairs
    if not options["page"] or not options["out"]:
        raise ValueError("expected page=FILE and out=FILE.png; see --help")
    for key in ("height", "seed"):
        if not options[key].isdecimal():
            raise ValueError(f"{key}: expected a whole number, got {options[key]!r}")
    return options


def _picture(command: str, options: dict[str, str]) -> tuple[Image.Image, str]:
    """Draw what a command asks for.

    Raises:
        ValueError: For an unknown command.
        OSError: For files that cannot be read.
    """
    pages = [_at_height(load_image(path), int(options["height"])) for path in options["page"].split(",")]
    weights, seed = options["weights"] or None, int(options["seed"])
    if command == "strip":
        return draw_figure_4(pages[0], screen_of(weights), seed), options["out"]
    if command == "sheet":
        return draw_sheet(pages, weights, seed), options["out"]
    raise ValueError(f"expected strip or sheet, got {command!r}; see --help")


def _at_height(page: Image.Image, height: int) -> Image.Image:
    size = (max(1, round(page.width * height / page.height)), max(1, height))
    return page.resize(size, Image.Resampling.BICUBIC)


if __name__ == "__main__":
    sys.exit(main())
