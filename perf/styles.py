"""Pages a second of one core, for every style: what a loader's worker can make while training.

    python perf/styles.py [--size 512 800] [--pages 20] [--weights RELEASED_FOLDER]

Generated pages, one thread, CPU time (so that other work on the machine does not count); the ratio is against
gray. Without weights the networks are random, which costs the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from colorflow.schema import Style
from colorflow.styles.compose import Interpolated, Mixed
from colorflow.styles.gray import GrayStyle
from colorflow.styles.lines.network import LineNetwork
from colorflow.styles.networks import DECODER_FILE, GENERATOR_FILE, LINE_FILE
from colorflow.styles.procedural.scan import Scan
from colorflow.styles.procedural.style import ProceduralStyle
from colorflow.styles.screen.path import ScreenPath
from colorflow.styles.screenvae import ScreenVAEStyle
from colorflow.styles.sketch import SketchStyle
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.seeding import generator

NETWORK_PAGES = 1  # of the styles that take seconds a page


def random_weights(root: Path) -> Path:
    """Write randomly initialised networks where the released ones lie."""
    path = ScreenPath()
    for name, network in {GENERATOR_FILE: path.generator, DECODER_FILE: path.decoder, LINE_FILE: LineNetwork()}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), root / name)
    return root


def seconds_a_page(style: Style, pages: list[Image.Image]) -> float:
    """Mean CPU seconds over pages, after one that fills caches."""
    style(pages[0], generator("warm"))
    start = time.process_time()
    for number, page in enumerate(pages):
        style(page, generator("measured", number))
    return (time.process_time() - start) / len(pages)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 800))
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pages = [page.color for page in draw_chapter(9000, options.pages, ToonSpec(size=tuple(options.size)))]
    gray, drawn = GrayStyle(), ProceduralStyle()
    with tempfile.TemporaryDirectory(prefix="colorflow-styles-") as folder:
        weights = options.weights or random_weights(Path(folder))
        styles: dict[str, Style] = {
            "gray": gray,
            "procedural, clean": ProceduralStyle(scan=None, bitonal=0),
            "procedural, bitonal": ProceduralStyle(scan=None, bitonal=1),
            "procedural, scanned": ProceduralStyle(scan=Scan(share=1), bitonal=0),
            "procedural (style=procedural)": Interpolated(gray, drawn),
            "mixed (style=mixed)": Mixed((gray, Interpolated(gray, drawn), drawn), (0.15, 0.5, 0.35)),
            "sketch": SketchStyle(weights),
            "shading": SketchStyle(weights, shading=True),
            "screenstyle, at the page's size": Interpolated(gray, ScreenVAEStyle(weights)),
        }
        print(f"{len(pages)} pages of {options.size[0]} x {options.size[1]}, one thread")
        print(f"{'style':34s}{'pages/s/core':>14s}{'times gray':>12s}")
        base = seconds_a_page(gray, pages)
        for name, style in styles.items():
            slow = isinstance(style, SketchStyle) or "screenstyle" in name
            spent = seconds_a_page(style, pages[: NETWORK_PAGES if slow else None])
            print(f"{name:34s}{1 / spent:14.2f}{spent / base:12.1f}", flush=True)


if __name__ == "__main__":
    main()
