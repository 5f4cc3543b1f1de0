"""A cache of VAE posteriors, one row a view of a page: training then neither decodes pictures nor encodes them.

Kept is what does not change from step to step; the draw of the posterior stays in the step. A cache says what it was
made of; any other is refused. ``data/cache_latents.py`` makes it, and goes on where it was stopped.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from colorflow.data.chapters import DataError
from colorflow.data.dataset import SampleDataset
from colorflow.data.sources import Source
from colorflow.data.transforms import CanvasTransform, Transform, collate
from colorflow.schema import Batch, ColorizationBatch, LatentBatch
from colorflow.utils.files import write_json_atomic
from colorflow.utils.hashing import digest_json
from colorflow.utils.seeding import stable_seed

FORMAT = "colorflow-latents-1"
_COMPLETE, _UNFINISHED, _ROWS = "index.json", "unfinished.json", "rows.bin"
_ID_BYTES = 256
_REMEDY = "make a cache of this configuration with data/cache_latents.py in another folder, or set data.latents=null"


@dataclass(frozen=True)
class LatentCache:
    """Rows of equal length in one file: a page's id, the mask, the posteriors.

    Attributes:
        folder: Where it is.
        made_of: Digests of what the rows depend on, by name.
        rows: Number of views of all pages; those of a page follow each other.
        shape: ``(1 + n, 2, C, h, w)``: target and n encodings of the condition, mean and standard deviation.
        dtype: Name of the posteriors' dtype.
    """

    folder: Path
    made_of: Mapping[str, str]
    rows: int
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def open(cls, folder: Path, made_of: Mapping[str, str]) -> Self:
        """Open a complete cache.

        Raises:
            DataError: If there is none, it is unfinished or cut short, or was made of anything else.
        """
        if not (folder / _COMPLETE).is_file():
            state = "an unfinished one: run that again" if (folder / _UNFINISHED).is_file() else "none"
            raise DataError(f"{folder}: expected a cache made by data/cache_latents.py, found {state}")
        cache = cls._read(folder, _COMPLETE, made_of)
        size = cache._file.stat().st_size if cache._file.is_file() else 0
        if size != cache.rows * cache._row_bytes:
            raise DataError(
                f"{cache._file}: expected {cache.rows * cache._row_bytes} bytes, got {size}; make the cache again"
            )
        return cache

    @classmethod
    def unfinished(cls, folder: Path, made_of: Mapping[str, str]) -> Self | None:
        """What an earlier process has left in a folder; None for nothing.

        Raises:
            DataError: If it is a complete cache, or was made of anything else.
        """
        if (folder / _COMPLETE).is_file():
            raise DataError(f"{folder}: expected a new folder, found a complete cache; name another, or remove it")
        return cls._read(folder, _UNFINISHED, made_of) if (folder / _UNFINISHED).is_file() else None

    @classmethod
    def _read(cls, folder: Path, name: str, made_of: Mapping[str, str]) -> Self:
        content = json.loads((folder / name).read_bytes())
        found: dict[str, str] = content["made_of"]
        other = [key for key in sorted({*found, *made_of}) if found.get(key) != made_of.get(key)]
        if other:
            raise DataError(
                f"{folder}: expected latents of this run, got some made with other {', '.join(other)}; {_REMEDY}"
            )
        return cls(folder, found, content["rows"], tuple(content["shape"]), content["dtype"])

    def begin(self) -> None:
        """Make the file of all rows, empty; what is there of this cache stays."""
        content = asdict(self) | {"folder": None}
        write_json_atomic(content, self.folder / _UNFINISHED)
        with open(self._file, "ab") as file:
            file.truncate(self.rows * self._row_bytes)

    def missing(self) -> list[int]:
        """Rows that have not been written."""
        with open(self._file, "rb") as file:
            first = (os.pread(file.fileno(), 1, row * self._row_bytes) for row in range(self.rows))
            return [row for row, byte in enumerate(first) if byte == b"\0"]

    def finish(self) -> None:
        """Declare it complete.

        Raises:
            DataError: If rows are missing.
        """
        if missing := self.missing():
            raise DataError(
                f"{self.folder}: {len(missing)} of {self.rows} rows are missing; run the same command again"
            )
        os.replace(self.folder / _UNFINISHED, self.folder / _COMPLETE)

    def write(self, batch: LatentBatch, row_numbers: tuple[int, ...]) -> None:
        """Write the samples of a batch; a page's id comes last and tells that its row is whole."""
        posteriors = torch.cat([batch.target[:, None], batch.condition], dim=1).cpu().contiguous()
        masks = batch.mask.float().cpu().contiguous()
        with open(self._file, "r+b") as file:
            for row, page_id, mask, posterior in zip(row_numbers, batch.page_ids, masks, posteriors, strict=True):
                start = row * self._row_bytes
                os.pwrite(file.fileno(), _bytes(mask) + _bytes(posterior), start + _ID_BYTES)
                os.pwrite(file.fileno(), page_id.encode()[:_ID_BYTES].ljust(_ID_BYTES, b"\0"), start)

    def read(self, row: int, seed: int) -> LatentBatch:
        """Return a row as a batch of one, to be drawn from with a seed."""
        with open(self._file, "rb") as file:
            data = bytearray(os.pread(file.fileno(), self._row_bytes, row * self._row_bytes))
        end = _ID_BYTES + self._mask_bytes
        mask = torch.frombuffer(data, dtype=torch.float32, offset=_ID_BYTES, count=self._mask_bytes // 4)
        posteriors = torch.frombuffer(data, dtype=getattr(torch, self.dtype), offset=end).view(self.shape)
        page_id = bytes(data[:_ID_BYTES]).rstrip(b"\0").decode(errors="ignore")
        mask = mask.view(1, 1, *self.shape[-2:])
        return LatentBatch(posteriors[:1], posteriors[None, 1:], mask, page_ids=(page_id,), seeds=(seed,))

    @property
    def _file(self) -> Path:
        return self.folder / _ROWS

    @property
    def _mask_bytes(self) -> int:
        return 4 * self.shape[-2] * self.shape[-1]

    @property
    def _row_bytes(self) -> int:
        item = torch.empty((), dtype=getattr(torch, self.dtype)).element_size()
        return _ID_BYTES + self._mask_bytes + math.prod(self.shape) * item


@dataclass
class CachedLatents:
    """What the loader's workers run in place of `colorflow.data.dataset.PositionDataset`: rows of a cache."""

    cache: LatentCache
    transform: CanvasTransform
    seed: int

    def __len__(self) -> int:
        """Number of rows."""
        return self.cache.rows

    def __getitem__(self, pair: tuple[int, int]) -> LatentBatch:
        """Return the sample ``index`` as it looks at ``position``."""
        position, index = pair
        assert self.transform.views is not None
        row = index * self.transform.views + self.transform.view_at(self.seed, position)
        return self.cache.read(row, stable_seed(self.seed, "noise", position))


class ViewDataset:
    """Every view of every page, as pictures, to be encoded once; a batch's seeds are its rows of the cache."""

    def __init__(self, dataset: SampleDataset, transform: CanvasTransform) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        """Number of rows."""
        assert self.transform.views is not None
        return len(self.dataset) * self.transform.views

    def __getitem__(self, row: int) -> ColorizationBatch:
        """Return a view."""
        assert self.transform.views is not None
        index, view = divmod(row, self.transform.views)
        return self.transform.view(self.dataset[index], view, noise_seed=row)


def cacheable(transform: object) -> CanvasTransform:
    """Return a transform whose latents can be cached.

    Raises:
        ValueError: For one that draws anew at every step, or makes no canvases.
    """
    if not isinstance(transform, CanvasTransform) or transform.views is None:
        raise ValueError(
            "data.latents: expected a canvas transform with a fixed number of views a page, as every step of another "
            "sees other pixels; set transform=canvas transform.views=1 (or more)"
        )
    return transform


def made_of(dataset: SampleDataset, transform: CanvasTransform, trainer: Any) -> dict[str, str]:
    """Digests of what the rows of a cache depend on.

    Args:
        dataset: Pages with their references.
        transform: Makes views of them.
        trainer: Lightning's, with the task that is trained or asked for its posteriors.

    Raises:
        ValueError: For a task that has no use for latents.
    """
    return {
        "format": FORMAT,
        "pages or references": dataset.fingerprint,
        "transform": digest_json(transform.describe()),
        "VAE weights, precision or conditioning": trainer.lightning_module.encoder_key(str(trainer.precision)),
    }


class ViewDataModule(LightningDataModule):
    """Batches for `data/cache_latents.py`: every view of the training pages that the cache lacks, once.

    Args:
        source: Gives the pages.
        transform: Makes views of them.
        folder: Of the cache.
        batch_size: Views a device encodes at once.
        num_workers: Loader processes of each device.
    """

    def __init__(self, source: Source, transform: Transform, folder: Path, batch_size: int, num_workers: int) -> None:
        super().__init__()
        self.source, self.transform, self.folder = source, cacheable(transform), folder
        self.batch_size, self.num_workers = batch_size, num_workers
        self._cache: LatentCache | None = None

    def prepare_data(self) -> None:
        """As `colorflow.data.datamodule.ComicDataModule.prepare_data`."""
        self.source.splits()

    def setup(self, stage: str) -> None:
        """Look what the folder holds already.

        Raises:
            DataError: If that is a complete cache, or one of anything else.
        """
        samples = self.source.splits().train
        assert self.trainer is not None
        self._made_of = made_of(samples, self.transform, self.trainer)
        self._views = ViewDataset(samples, self.transform)
        self._cache = LatentCache.unfinished(self.folder, self._made_of)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return this process's share of the missing rows."""
        assert self.trainer is not None
        rows = range(len(self._views)) if self._cache is None else self._cache.missing()
        mine = rows[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(
            Subset(self._views, mine),  # type: ignore[arg-type]
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=collate,
        )

    def keep(self, latents: LatentBatch) -> None:
        """Write a batch, whose seeds are its rows."""
        if self._cache is None:
            shape = (1 + latents.condition.shape[1], *latents.target.shape[1:])
            dtype = str(latents.target.dtype).removeprefix("torch.")
            self._cache = LatentCache(self.folder, self._made_of, len(self._views), shape, dtype)
            self._cache.begin()
        self._cache.write(latents, latents.seeds)

    def finish(self) -> None:
        """Declare the cache complete, once every process has written its share."""
        assert self._cache is not None
        self._cache.finish()


class LatentWriter(Callback):
    """Keep every batch of a prediction over a `ViewDataModule`."""

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Write a batch."""
        trainer.datamodule.keep(outputs)

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Finish when all processes are here."""
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            trainer.datamodule.finish()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
