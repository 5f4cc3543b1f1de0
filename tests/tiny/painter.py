"""Chapters in black and white, and a pipeline that is none, for tests of whole chapters."""

from __future__ import annotations

import math
from copy import copy
from pathlib import Path

from PIL import Image, ImageOps

from colorflow.canvas import Size, canvas_size, matching_size
from colorflow.colorize.chapters import ColorizeOptions
from colorflow.colorize.provenance import SOURCE_TYPE
from colorflow.pipelines.output import ColorFlowOutput
from colorflow.schema import ReferencePool, RetrievedPatch
from tiny.benchmark import write_chapters

QUIET = ColorizeOptions(progress=False)


class Painter:
    """Stands for the pipeline: paints pages red, the more the larger the pool; remembers what it was given."""

    def __init__(self, stop_at: int | None = None, fail_on: tuple[int, ...] = ()) -> None:
        self.calls: list[tuple[int, tuple[str, ...]]] = []
        self.stop_at, self.fail_on, self.loads = stop_at, fail_on, 0

    page_size = (32, 48)

    def load(self) -> Painter:
        self.loads += 1
        return self

    def for_page(self, page: Size) -> Painter:
        """Remembers on one list with the one it comes from."""
        other = copy(self)
        other.page_size = matching_size(page, self.page_size, 8)
        return other

    def __call__(self, page: Image.Image, references: ReferencePool, *, seed: int) -> ColorFlowOutput:
        number = len(self.calls)
        if number == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append((seed, references.ids))
        if number in self.fail_on:
            raise RuntimeError("told to fail")
        image = ImageOps.colorize(page.convert("L"), (40 + seed % 50, 0, 0), (255, 255 - len(references.ids), 0))
        patches = tuple(
            RetrievedPatch(name, 0, 0, rank, 0.5 + rank / 10) for rank, name in enumerate(references.ids[:2])
        )
        canvas = Image.new("RGB", canvas_size(self.page_size))
        return ColorFlowOutput(image, canvas, canvas, patches or (RetrievedPatch("none", 0, 0, 0, math.nan),))


def gray_chapters(root: Path, pages: dict[str, int]) -> Path:
    """The chapters of ``write_chapters``, in black and white."""
    write_chapters(root, pages)
    for path in root.glob("*/*"):
        Image.open(path).convert("L").save(path)
    return root


def is_marked(image: Image.Image) -> bool:
    """Whether an opened picture says that a model coloured it."""
    return SOURCE_TYPE in str(image.info.get("XML:com.adobe.xmp", ""))
