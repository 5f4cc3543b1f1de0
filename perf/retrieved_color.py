"""How much nearer in colour the retrieved patches are than random ones: what retrieval (RAP) can be worth at all.

    python perf/retrieved_color.py CHAPTERS [--size 64 96] [--kinds hog random]

CHAPTERS: a folder of chapter folders. For every quarter of every page: the distance of its mean colour (CIELAB a and b)
from that of its three reference patches, which are looked for in the other pages of the chapter by the gray page, as in
training. The last row is the distance from gray. The closer hog is to random, the less retrieval can tell.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from colorflow.data.sources import ChapterSource
from colorflow.retrieval.settings import RetrievalSettings, build_retriever
from colorflow.schema import ColorizationSample


def mean_color(image: Image.Image) -> np.ndarray:
    """Mean a and b of a picture, (2,)."""
    return rgb2lab(np.asarray(image.convert("RGB")))[..., 1:].mean((0, 1))


def quarters(page: Image.Image) -> list[np.ndarray]:
    """Mean colours of a page's quarters, TL, TR, BL, BR."""
    width, height = page.width // 2, page.height // 2
    corners = [(x * width, y * height) for y in (0, 1) for x in (0, 1)]
    return [mean_color(page.crop((x, y, x + width, y + height))) for x, y in corners]


def distances(sample: ColorizationSample) -> list[float]:
    """From the colour of each quarter to that of its references."""
    found = []
    for number, color in enumerate(quarters(sample.page)):
        patches = [mean_color(image) for patch, image in sample.patches if patch.quadrant == number]
        found.append(float(np.linalg.norm(np.mean(patches, axis=0) - color)))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", type=Path)
    parser.add_argument("--size", type=int, nargs=2, default=(64, 96), metavar=("W", "H"))
    parser.add_argument("--kinds", nargs="+", default=["hog", "random"], help="hog, random, clip")
    options = parser.parse_args()
    print("patches    quarters  distance in a, b: mean  median")
    for kind in options.kinds:
        retriever = build_retriever(RetrievalSettings(kind=kind))
        with tempfile.TemporaryDirectory() as cache:
            pages = ChapterSource(options.chapters, options.size, retriever, cache, val_chapters=0).splits().train
            samples = [pages[place] for place in range(len(pages))]
        found = [distance for sample in samples for distance in distances(sample)]
        print(f"{kind:10} {len(found):8} {statistics.mean(found):23.2f} {statistics.median(found):7.2f}")
    gray = [float(np.linalg.norm(color)) for sample in samples for color in quarters(sample.page)]
    print(f"{'gray':10} {len(gray):8} {statistics.mean(gray):23.2f} {statistics.median(gray):7.2f}")


if __name__ == "__main__":
    main()
