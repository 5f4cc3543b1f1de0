"""The data module: loaders whose order is a function of (seed, step), and the place to resume from.

Batches are numbered from the start of training; batch t is the same samples with the same style, window
and noise on any number of devices and workers. The number of consumed batches is taken from the optimizer
steps done, so that what the loader has prefetched beyond them does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from colorflow.data.chapters import DataError
from colorflow.data.dataset import PositionDataset, SampleDataset
from colorflow.data.latents import CachedLatents, LatentCache, cacheable, made_of
from colorflow.data.sampler import StepSampler, validation_batches
from colorflow.data.sources import Source, Splits
from colorflow.data.transforms import Transform, collate
from colorflow.schema import Batch
from colorflow.utils.log import get_logger
from colorflow.utils.progress import allowed_failures
from colorflow.utils.seeding import stable_seed
from colorflow.utils.signals import obey_parent_alone

_log = get_logger(__name__)


class ComicDataModule(LightningDataModule):
    """Training and validation batches of comic pages with their references.

    The trainer must be made with ``use_distributed_sampler=False`` (ranks are dealt with here), with
    ``max_steps`` (the training loader never ends), and with ``check_val_every_n_epoch=None`` and an
    integer ``val_check_interval``. With accumulation an optimizer step consumes
    ``accumulate_grad_batches`` global batches.
    """

    def __init__(
        self,
        source: Source,
        transform: Transform,
        global_batch_size: int,
        seed: int = 0,
        num_workers: int = 2,
        val_batch_size: int | None = None,
        prefetch_factor: int = 2,
        val_transform: Transform | None = None,
        max_unreadable: float = 0.01,
        latents: str | Path | None = None,
    ) -> None:
        """Describe the loaders; nothing is read yet.

        Args:
            source: Gives the samples.
            transform: Makes training tensors of a sample.
            global_batch_size: Samples a batch over all devices together.
            seed: Seed of order, style, window and noise.
            num_workers: Loader processes of each device; results do not depend on it.
            val_batch_size: Validation samples a device takes at once; default: its share of the global batch.
            prefetch_factor: Batches each worker prepares ahead.
            val_transform: Default: ``transform`` without random geometry.
            max_unreadable: Largest fraction of the samples that may turn out damaged on a device while it trains;
                another takes the place of each. 0: none may.
            latents: Folder of a cache that training samples are read from, see `colorflow.data.latents`; validation
                encodes its pages itself.

        Raises:
            ValueError: If the source and a transform differ in page size.
        """
        super().__init__()
        self.source = source
        self.transform = transform
        self.val_transform = val_transform or transform.for_validation()
        self.global_batch_size = global_batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.val_batch_size = val_batch_size
        self.prefetch_factor = prefetch_factor
        self.max_unreadable = max_unreadable
        self._unreadable: set[str] = set()
        self.latents = None if latents is None else Path(latents)
        self._cached: CachedLatents | None = None
        self._splits: Splits | None = None
        self._resumed: dict[str, Any] = {"batches": 0, "global_step": 0}
        for item in (self.transform, self.val_transform):
            if item.page_size != source.page_size:
                raise ValueError(
                    f"ComicDataModule: expected one page size, got {source.page_size} in the source and "
                    f"{item.page_size} in the transform; let both refer to data.page_size"
                )

    @property
    def train_samples(self) -> SampleDataset:
        """The training samples, after ``setup``."""
        return self._ready().train

    @property
    def val_samples(self) -> SampleDataset | None:
        """The validation samples, after ``setup``; None where no chapter is held out."""
        return self._ready().val

    @property
    def consumed_batches(self) -> int:
        """Global batches that finished optimizer steps have used since the start of training."""
        if self.trainer is None:
            return int(self._resumed["batches"])
        steps = self.trainer.global_step - self._resumed["global_step"]
        return int(self._resumed["batches"]) + steps * self.trainer.accumulate_grad_batches

    def prepare_data(self) -> None:
        """Do the long work (retrieval) on one process a node; the others read its cache."""
        self.source.splits()

    def setup(self, stage: str) -> None:
        """Open the samples on every process, and the cache of latents.

        Raises:
            DataError: For a cache that is not exactly of these samples, this transform and this model.
            ValueError: For a transform or task whose latents cannot be cached.
        """
        self._splits = self.source.splits()
        if self.latents is not None:
            transform = cacheable(self.transform)
            cache = LatentCache.open(self.latents, made_of(self.train_samples, transform, self.trainer))
            self._cached = CachedLatents(cache, transform, self.seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return this rank's endless loader, from the first batch that was not consumed.

        Raises:
            DataError: If a resumed run's data, seed or batch size is not what its checkpoint was made with.
            ValueError: If the batch does not divide over the devices, or the trainer would replace the sampler.
        """
        rank, world_size = self._place()
        samples = self.train_samples
        self._check_resumed()
        sampler = StepSampler(
            len(samples), self.global_batch_size, self.seed, rank, world_size, start_batch=self.consumed_batches
        )
        return self._loader(self._cached or PositionDataset(samples, self.transform, self.seed), sampler)

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Return this rank's share of the validation samples, each once; an empty list for none."""
        if self.val_samples is None:
            return []
        rank, world_size = self._place()
        size = self.val_batch_size or max(1, self.global_batch_size // world_size)
        batches = validation_batches(len(self.val_samples), size, rank, world_size)
        return self._loader(self._val_dataset(), batches)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Say which samples could not be read, each once.

        Raises:
            DataError: If they are too many.
        """
        for damage in batch.unreadable:
            if damage not in self._unreadable:
                self._unreadable.add(damage)
                _log.error("%s; another sample takes its place (%d so far)", damage, len(self._unreadable))
        if len(self._unreadable) > allowed_failures(len(self.train_samples), self.max_unreadable):
            raise DataError(
                f"{len(self._unreadable)} of {len(self.train_samples)} samples cannot be read; more than "
                f"data.datamodule.max_unreadable={self.max_unreadable} allows. Mend the data, and go on with "
                "resume=RUN_FOLDER"
            )
        return batch

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Copy beside the computation; Lightning's own way waits for the device, except for bare tensors."""
        return batch.to(device, non_blocking=device.type == "cuda")

    def validation_batch(self, indices: Sequence[int]) -> Batch:
        """Return some validation samples as the validation loader gives them (for grids of fixed pages).

        Raises:
            DataError: If no chapter is held out.
        """
        dataset = self._val_dataset()
        return collate([dataset[index, index] for index in indices])

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the training sequence, and what the sequence is made of."""
        step = 0 if self.trainer is None else self.trainer.global_step
        return {"batches": self.consumed_batches, "global_step": step, **self._sequence()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved place; ``train_dataloader`` checks that the sequence is the same."""
        self._resumed = dict(state_dict)

    def _sequence(self) -> dict[str, Any]:
        """What fixes the sequence of training samples."""
        data = self.train_samples.fingerprint
        return {"global_batch_size": self.global_batch_size, "seed": self.seed, "data": data}

    def _check_resumed(self) -> None:
        changed = {
            name: (self._resumed[name], value)
            for name, value in self._sequence().items()
            if name in self._resumed and self._resumed[name] != value
        }
        if changed:
            listing = "; ".join(f"{name} was {old} and is {new}" for name, (old, new) in changed.items())
            raise DataError(
                f"cannot resume at batch {self._resumed['batches']}: {listing}. Restore these to go on exactly, or "
                "start a new run from the exported weights"
            )

    def _ready(self) -> Splits:
        if self._splits is None:
            raise RuntimeError("ComicDataModule: call setup('fit') first (the Trainer does)")
        return self._splits

    def _val_dataset(self) -> PositionDataset:
        """The validation set with a seed of its own, so that it shares no noise with training."""
        if self.val_samples is None:
            raise DataError("no chapter is held out for validation; set data.source.val_chapters")
        return PositionDataset(self.val_samples, self.val_transform, stable_seed(self.seed, "validation"))

    def _place(self) -> tuple[int, int]:
        """Return (rank, world size)."""
        if self.trainer is None:
            return 0, 1
        connector = getattr(self.trainer, "_accelerator_connector", None)
        if self.trainer.world_size > 1 and getattr(connector, "use_distributed_sampler", False):
            raise ValueError(
                "ComicDataModule: expected Trainer(use_distributed_sampler=False), got True; samples are already "
                "divided over the ranks here"
            )
        return self.trainer.global_rank, self.trainer.world_size

    def _loader(self, dataset: PositionDataset | CachedLatents, batches: Any) -> DataLoader[Batch]:
        """Make a loader; its generator is its own, so that loading draws nothing from the global one."""
        return DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            prefetch_factor=self.prefetch_factor if self.num_workers else None,
            generator=torch.Generator().manual_seed(self.seed),
            worker_init_fn=obey_parent_alone,
        )
