"""Tiny chapters of coloured blocks, and an encoder without weights, for the tests of the data layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from colorflow.data.page_filter import PageFilter
from colorflow.data.recording import Recorder
from colorflow.data.shards.build import ShardBuild
from colorflow.data.shards.sample import ShardFormat
from colorflow.retrieval.retriever import Retriever, SimilarityRetriever

SIZE = (32, 48)
"""Page size (W, H) that the data tests run at."""


def draw_page(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw a page of 4 x 6 smooth colour blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BILINEAR)


def write_chapters(root: Path, chapters: int = 3, pages: int = 4, size: tuple[int, int] = SIZE) -> Path:
    """Write ``<root>/ch<i>/<j>.png``, every page different."""
    for chapter in range(chapters):
        folder = root / f"ch{chapter}"
        folder.mkdir(parents=True, exist_ok=True)
        for page in range(pages):
            draw_page(1000 * chapter + page, size).save(folder / f"{page + 1}.png")
    return root


class BlockEncoder:
    """Embeds a patch by its 4 x 4 luminance; counts the patches it was asked for."""

    def __init__(self, name: str = "blocks") -> None:
        self.name = name
        self.seen = 0

    def __call__(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return ``(N, 16)`` float32."""
        self.seen += len(images)
        rows = [np.asarray(image.convert("L").resize((4, 4)), dtype=np.float32).ravel() for image in images]
        return torch.from_numpy(np.stack(rows))


def tiny_build(
    source: Path,
    val_chapters: Sequence[str] | int = 0,
    encoder: BlockEncoder | None = None,
    retriever: Retriever | None = None,
    page_filter: bool = False,
    max_skip_fraction: float = 0.05,
    **form: Any,
) -> ShardBuild:
    """What to build of some chapters: three samples a shard by default."""
    retriever = retriever or SimilarityRetriever(encoder or BlockEncoder(), cached_pools=0, cached_pages=0)
    options = ShardFormat(SIZE, retriever.name, **{"samples_per_shard": 3} | form)
    rules = PageFilter(colorless=True, near_duplicates=10) if page_filter else PageFilter()
    recorder = Recorder(retriever, SIZE, None, page_filter=rules)
    return ShardBuild(source, recorder, options, val_chapters, max_skip_fraction)
