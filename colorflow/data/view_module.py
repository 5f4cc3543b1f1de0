"""Batches for `data/cache_latents.py`: the views that a cache of latents lacks, each process its share."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Subset

from colorflow.data.latents import LatentCache, ViewDataset, cacheable, made_of
from colorflow.data.sources import Source
from colorflow.data.transforms import Transform, collate
from colorflow.schema import Batch, LatentBatch


class ViewDataModule(LightningDataModule):
    """Every view of the training pages, once; what an earlier run has written is left out.

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
