"""Training pages from generated chapters: written once, then read like any other chapters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from colorflow.data.dataset import ChapterDataset
from colorflow.data.recording import RecordedChapter
from colorflow.data.repaint import IndexedPages
from colorflow.data.sources import ChapterSource, Splits
from colorflow.retrieval.retriever import Retriever
from colorflow.toon import ToonSpec, name_set, write_chapters


class ToonSource(ChapterSource):
    """Toon chapters, generated on the first use.

    Args:
        root: Parent folder; a set of given size and seed has its own subfolder.
        page_size: Page size (W, H).
        retriever: Finds the patches.
        cache_dir: Folder for the retrieval records.
        spec: What is drawn, and at which size.
        chapters: How many chapters.
        pages: Pages a chapter.
        val_chapters: How many of them are held out.
        pool_size: Pages a page's references are looked for in.
        seed: Seed of the chapters, the split and the pools.
        indexed: Keep pages as pictures with a palette, as they were drawn; `colorflow.data.repaint.Repaint` needs it.
    """

    def __init__(
        self,
        root: str | Path,
        page_size: Sequence[int],
        retriever: Retriever,
        cache_dir: str | Path,
        spec: ToonSpec,
        chapters: int = 48,
        pages: int = 8,
        val_chapters: int = 2,
        pool_size: int = 20,
        seed: int = 0,
        indexed: bool = False,
    ) -> None:
        self.chapters, self.pages = chapters, pages
        self.spec, self.indexed = spec, indexed
        name = name_set(chapters, pages, seed, spec) + ("_indexed" if indexed else "")
        super().__init__(Path(root) / name, page_size, retriever, cache_dir, val_chapters, pool_size, seed)

    def _make(self) -> Splits[ChapterDataset]:
        marker = self.root.with_name(f"{self.root.name}.complete")
        if not marker.exists():
            write_chapters(self.root, self.chapters, self.pages, self.seed, self.spec, indexed=self.indexed)
            marker.touch()
        return super()._make()

    def _dataset(self, chapters: Sequence[RecordedChapter]) -> ChapterDataset:
        if not self.indexed:
            return super()._dataset(chapters)
        return ChapterDataset(chapters, self.page_size, load=IndexedPages())
