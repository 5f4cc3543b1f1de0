"""``python -m colorflow.styles strip|sheet PAGE --out FILE``: what the styles make of a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from colorflow.styles.sheets import draw_figure_4, draw_sheet, screen_of
from colorflow.utils.images import load_image, save_png


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 after an error on stderr."""
    parser = argparse.ArgumentParser("python -m colorflow.styles", description="Draw what the styles make of a page.")
    kinds = (
        "strip: the paper's Fig. 4 (colour, gray, 0.66 and 0.33 of gray, screentone) of one page; sheet: every style"
    )
    parser.add_argument("kind", choices=("strip", "sheet"), help=kinds)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.png")
    parser.add_argument("--height", type=int, default=800, help="pixels that a page is brought to first (default: 800)")
    parser.add_argument("--weights", type=Path, help="released ColorFlow folder, for ScreenVAE and the line extractor")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    options = parser.parse_args(arguments)
    try:
        pages = [_at_height(load_image(path), options.height) for path in options.pages]
        if options.kind == "strip":
            picture = draw_figure_4(pages[0], screen_of(options.weights), options.seed)
        else:
            picture = draw_sheet(pages, options.weights, options.seed)
        save_png(picture, options.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"written: {options.out} ({picture.width} x {picture.height})")
    return 0


def _at_height(page: Image.Image, height: int) -> Image.Image:
    size = (max(1, round(page.width * height / page.height)), max(1, height))
    return page.resize(size, Image.Resampling.BICUBIC)


if __name__ == "__main__":
    sys.exit(main())
