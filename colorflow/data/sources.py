"""Where training pages come from: chapter folders, generated chapters or shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from colorflow.canvas import Size
from colorflow.data.chapters import DataError, HeldOut, read_chapters, some_names, split_chapters
from colorflow.data.dataset import ChapterDataset, SampleDataset
from colorflow.data.recording import RecordedChapter, Recorder, record_chapters
from colorflow.data.repaint import IndexedPages
from colorflow.data.shards.index import read_index, verify_shards
from colorflow.data.shards.sample import ShardDataset
from colorflow.retrieval.retriever import Retriever
from colorflow.toon import ToonSpec, name_set, write_chapters
from colorflow.utils.log import get_logger
from colorflow.utils.remote import find

_log = get_logger(__name__)


class Splits(NamedTuple):
    """Training and validation samples; ``val`` is None where no chapter is held out."""

    train: SampleDataset
    val: SampleDataset | None


class Source(Protocol):
    """Anything with pages of one size. ``splits`` may be asked again: the work is done once."""

    page_size: Size

    def splits(self) -> Splits:
        """Return the samples; the first call may take long (decoding, retrieval)."""


class ChapterSource:
    """Chapter folders; references are retrieved once and their record is cached."""

    def __init__(
        self,
        root: str | Path,
        page_size: Sequence[int],
        retriever: Retriever,
        cache_dir: str | Path,
        val_chapters: HeldOut = 0.1,
        pool_size: int = 20,
        seed: int = 0,
        allow_no_references: bool = False,
        max_skip_fraction: float = 0.05,
        cache_mb: int = 256,
    ) -> None:
        """Describe the source; nothing is read yet.

        Args:
            root: Folder of chapter folders.
            page_size: Page size (W, H).
            retriever: Finds the patches. It is let go of after the first ``splits``, with its encoder's memory.
            cache_dir: Folder for the records and ``skipped.json``; stale records are never used.
            val_chapters: Held-out chapters: names, a count, or a fraction.
            pool_size: Pages a page's references are looked for in.
            seed: Seed of the split, the pools and of random retrieval.
            allow_no_references: Whether the only page of a chapter is used, without references.
            max_skip_fraction: Largest fraction of damaged pages.
            cache_mb: Megabytes of decoded pages each worker may keep.
        """
        self.root = Path(root)
        self.page_size = size_pair(page_size)
        self.val_chapters = val_chapters
        self.seed = seed
        self.max_skip_fraction = max_skip_fraction
        self.cache_mb = cache_mb
        self._recorder: Recorder | None = Recorder(
            retriever, self.page_size, Path(cache_dir), pool_size, seed, allow_no_references
        )
        self._splits: Splits | None = None

    def splits(self) -> Splits:
        """Read, split by chapter and record.

        Raises:
            DataError: For folders, splits or pages that cannot be used.
        """
        if self._splits is None:
            self._splits = self._make()
            self._recorder = None
        return self._splits

    def _make(self) -> Splits:
        assert self._recorder is not None
        chapters, found = read_chapters(self.root)
        train, val = split_chapters([chapter.name for chapter in chapters], self.val_chapters, self.seed)
        recorded, report = record_chapters(chapters, self._recorder, found, self.max_skip_fraction)
        sets = [self._dataset([item for item in recorded if item.name in names]) for names in (set(train), set(val))]
        if not len(sets[0]) or (val and not len(sets[1])):
            raise DataError(
                f"{self.root}: no usable page is left in the {'validation' if len(sets[0]) else 'training'} chapters; "
                f"left out: {report.counts()}; choose other val_chapters"
            )
        known = {recorded.digest for recorded in sets[0].recorded}
        if copies := [recorded.page.id for recorded in sets[1].recorded if recorded.digest in known]:  # the very files
            _log.warning("%d validation pages are also in training chapters, among them %s", len(copies), copies[:5])
        counts = f"{len(sets[0])} training and {len(sets[1])} validation pages"
        _log.info("%s: %s; val_chapters holds out %s", self.root, counts, some_names(val) if val else "none")
        return Splits(sets[0], sets[1] if val else None)

    def _dataset(self, chapters: Sequence[RecordedChapter]) -> ChapterDataset:
        return ChapterDataset(chapters, self.page_size, self.cache_mb)


class ToonSource(ChapterSource):
    """Toon chapters, generated on the first use; arguments that it shares with `ChapterSource` are as there.

    Args:
        root: Parent folder; a set of given size and seed has its own subfolder.
        spec: What is drawn, and at which size.
        chapters: How many chapters.
        pages: Pages a chapter.
        val_chapters: How many of the chapters are held out.
        seed: Seed of the chapters, the split and the pools.
    """

    indexed = False

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
    ) -> None:
        self.chapters, self.pages = chapters, pages
        self.spec = spec
        name = name_set(chapters, pages, seed, spec) + ("_indexed" if self.indexed else "")
        super().__init__(Path(root) / name, page_size, retriever, cache_dir, val_chapters, pool_size, seed)

    def _make(self) -> Splits:
        marker = self.root.with_name(f"{self.root.name}.complete")
        if not marker.exists():
            write_chapters(self.root, self.chapters, self.pages, self.seed, self.spec, indexed=self.indexed)
            marker.touch()
        return super()._make()


class IndexedToonSource(ToonSource):
    """The same with pages as palette indices, as they were drawn; `colorflow.data.repaint.Repaint` needs them."""

    indexed = True

    def _dataset(self, chapters: Sequence[RecordedChapter]) -> ChapterDataset:
        return ChapterDataset(chapters, self.page_size, load=IndexedPages())


class ShardSource:
    """A folder of shards; which chapters are held out was decided when they were built."""

    def __init__(
        self,
        root: str | Path,
        page_size: Sequence[int],
        train_split: str = "train",
        val_split: str | None = "val",
        verify: bool = False,
    ) -> None:
        """Describe the source; nothing is read yet.

        Args:
            root: Folder made by ``data/build_shards.py``, or of shards of the same format; a path, or a URL of any
                kind that fsspec reads by byte ranges (``https://``, ``s3://`` with s3fs installed).
            page_size: Page size (W, H), which must be the one the shards were built for.
            train_split: Name of the training shards.
            val_split: Name of the validation shards; None for none.
            verify: Whether to compare every shard with its digest first (reads everything).
        """
        self.root = find(root)
        self.page_size = size_pair(page_size)
        self.train_split = train_split
        self.val_split = val_split
        self.verify = verify
        self._splits: Splits | None = None

    def splits(self) -> Splits:
        """Read the index.

        Raises:
            DataError: For shards that are missing, changed or of another page size, and for a chapter in both splits.
        """
        if self._splits is None:
            self._splits = self._make()
        return self._splits

    def _make(self) -> Splits:
        index = read_index(self.root)
        if index.page_size != self.page_size:
            raise DataError(
                f"{self.root}: expected shards of page size {self.page_size}, got {index.page_size}; set page_size to "
                "that, or build them again"
            )
        if self.verify:
            verify_shards(index)
        train = ShardDataset(index, self.train_split)
        val = None if self.val_split is None else ShardDataset(index, self.val_split)
        shared = set(train.chapters) & set(val.chapters if val else ())
        if shared:
            raise DataError(
                f"{self.root}: chapters {sorted(shared)[:5]} are in {self.train_split} and {self.val_split}; "
                "validation must be of chapters that are not trained on; build the shards again"
            )
        for part in filter(None, (train, val)):
            _log.info("%s: %d samples in %d shards, by %s", self.root, len(part), len(part.shards), index.retriever)
        return Splits(train, val)


def size_pair(size: Sequence[int]) -> Size:
    """Return a size as a tuple of two integers.

    Raises:
        ValueError: For anything but two positive integers.
    """
    pair = tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"expected a size [width, height] of two positive integers, got {list(pair)}")
    return pair[0], pair[1]
