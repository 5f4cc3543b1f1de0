"""Map-style datasets of pages with their recorded references.

A source answers ``dataset[i]`` in any order, from folders or from shards. That is what makes the order of training a
matter of arithmetic (``colorflow.data.sampler``) and resuming exact by construction: a streaming reader with shuffle
buffers has to replay or lose its buffers, and under several ranks it hangs or repeats where shards are uneven.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from PIL import Image

from colorflow.canvas import Size, fit_page, reference_patches
from colorflow.data.chapters import DataError
from colorflow.data.recording import RecordedChapter, RecordedPage
from colorflow.data.transforms import Transform
from colorflow.schema import Batch, ColorizationSample, RetrievedPatch
from colorflow.utils.hashing import digest_json
from colorflow.utils.images import ImageError, load_image

_DAMAGED_IN_A_ROW = 8


class SampleDataset(Protocol):
    """A finite, ordered set of samples. ``fingerprint`` changes with any sample or their order."""

    fingerprint: str

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: int) -> ColorizationSample:
        """Return a sample, decoded."""


class PageCache:
    """Decoded pages at canvas size, least recently used out first; each worker has its own."""

    def __init__(self, size: Size, megabytes: int = 256) -> None:
        self.size = size
        self.capacity = max(1, megabytes * 2**20 // (3 * size[0] * size[1]))
        self._pages: OrderedDict[Path, Image.Image] = OrderedDict()

    def __call__(self, path: Path) -> Image.Image:
        """Return a page fitted to the size, decoded at most once while it stays in the cache.

        Raises:
            ImageError: For a file that was damaged after it was recorded.
        """
        if path in self._pages:
            self._pages.move_to_end(path)
            return self._pages[path]
        page = fit_page(load_image(path), self.size)
        self._pages[path] = page
        if len(self._pages) > self.capacity:
            self._pages.popitem(last=False)
        return page

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pages behind when a worker process is started."""
        return self.__dict__ | {"_pages": OrderedDict()}


class ChapterDataset:
    """Pages of recorded chapters, decoded from their files.

    Pages are fitted to the page size as they are loaded, so that page and references share one cache.
    """

    def __init__(
        self,
        chapters: Sequence[RecordedChapter],
        page_size: Size,
        cache_mb: int = 256,
        load: Callable[[Path], Image.Image] | None = None,
    ) -> None:
        """Take the recorded pages of some chapters, in order.

        Args:
            chapters: Recorded chapters.
            page_size: Page size (W, H) they were recorded at.
            cache_mb: Megabytes of decoded pages each worker may keep.
            load: Decoded pages that are there already, in place of a cache of its own.
        """
        self.chapters = tuple(chapter.name for chapter in chapters)
        self.recorded: tuple[RecordedPage, ...] = tuple(page for chapter in chapters for page in chapter.pages)
        self.fingerprint = digest_json([[chapter.name, chapter.key] for chapter in chapters])
        self._files = {recorded.page.id: recorded.page.path for recorded in self.recorded}
        self._load = load or PageCache(page_size, cache_mb)

    def __len__(self) -> int:
        """Number of pages."""
        return len(self.recorded)

    def __getitem__(self, index: int) -> ColorizationSample:
        """Return a page of the page size with its recorded patches, cut as the retriever saw them."""
        recorded = self.recorded[index]
        patches = tuple((patch, self._cut(patch)) for patch in recorded.patches)
        return ColorizationSample(recorded.page.id, self._load(recorded.page.path), patches)

    def _cut(self, patch: RetrievedPatch) -> Image.Image:
        return reference_patches(self._load(self._files[patch.reference]))[patch.patch]


@dataclass
class PositionDataset:
    """A dataset seen through a transform: what the loader's workers run.

    Indexed by the sampler's (position, index) pairs, it returns batches of one sample.
    """

    dataset: SampleDataset
    transform: Transform
    seed: int

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.dataset)

    def __getitem__(self, pair: tuple[int, int]) -> Batch:
        """Return the sample ``index`` as it looks at ``position``; the next one that can be read, where it cannot be.

        Raises:
            DataError: Where as many in a row are damaged as no single fault explains.
        """
        position, index = pair
        damage: list[str] = []
        while len(damage) < _DAMAGED_IN_A_ROW:
            number = (index + len(damage)) % len(self.dataset)
            try:
                sample = self.dataset[number]
            except (DataError, ImageError) as error:
                damage.append(f"sample {number}: {error}")
            else:
                batch = self.transform(sample, self.seed, position)
                return replace(cast(Any, batch), unreadable=tuple(damage)) if damage else batch
        raise DataError(f"{len(damage)} samples in a row cannot be read, the first: {damage[0]}")
