"""Which sample comes when: an endless sequence of positions that every rank can compute alone.

Position p names its sample, and with it all of the sample's randomness, by (seed, p) alone. The global batch t holds
the positions [t G, (t + 1) G), on any number of ranks and workers: to start at batch t is arithmetic, and exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise

import torch

from colorflow.utils.seeding import generator

Positions = list[tuple[int, int]]
"""A rank's part of a batch: pairs of (position in the sequence, index into the dataset)."""


@dataclass
class StepSampler:
    """Batch sampler of one rank: endless, each epoch a fresh permutation.

    Rank r takes the r-th contiguous part of every global batch, so the ranks' parts in rank order
    are the global batch. It has no length: the trainer counts steps, not epochs.

    Attributes:
        length: Number of samples in the dataset.
        global_batch_size: Samples a batch over all ranks; a multiple of ``world_size``.
        seed: Seed of the order.
        rank: This process, from 0.
        world_size: Number of processes.
        start_batch: First global batch to yield; a resumed run passes the number already consumed.
    """

    length: int
    global_batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    start_batch: int = 0

    def __post_init__(self) -> None:
        """Begin before the first epoch.

        Raises:
            ValueError: For sizes that do not fit together.
        """
        if self.length < 1:
            raise ValueError("StepSampler: expected at least one sample, got an empty dataset; check data.root")
        if self.global_batch_size < 1 or self.world_size < 1 or self.global_batch_size % self.world_size:
            raise ValueError(
                f"StepSampler: expected global_batch_size to be a multiple of the {self.world_size} devices, "
                f"got {self.global_batch_size}; change data.global_batch_size or trainer.devices"
            )
        if not 0 <= self.rank < self.world_size or self.start_batch < 0:
            raise ValueError(
                f"StepSampler: expected 0 <= rank < {self.world_size} and start_batch >= 0, got {self.rank} "
                f"and {self.start_batch}"
            )
        self._local = self.global_batch_size // self.world_size
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def index(self, position: int) -> int:
        """Return the dataset index at a position, a function of (seed, position) alone."""
        epoch, place = divmod(position, self.length)
        if epoch != self._epoch:
            self._order = torch.randperm(self.length, generator=generator(self.seed, "order", epoch))
            self._epoch = epoch
        return int(self._order[place])

    def batch(self, number: int) -> Positions:
        """Return this rank's part of a global batch."""
        first = number * self.global_batch_size + self.rank * self._local
        return [(position, self.index(position)) for position in range(first, first + self._local)]

    def __iter__(self) -> Iterator[Positions]:
        """This rank's parts of the batches ``start_batch``, ``start_batch + 1``, ... without end."""
        return map(self.batch, count(self.start_batch))


def validation_batches(length: int, batch_size: int, rank: int = 0, world_size: int = 1) -> list[Positions]:
    """Divide the validation samples over ranks: each exactly once, none repeated, none padded.

    Position equals index, so a sample's randomness never changes. Every rank gets the same number of
    batches (their sizes differ by at most one), since collective calls inside a step would hang
    otherwise. Where ``batch_size`` is 1 and the ranks do not divide the samples, the ranks with one
    sample more hold it in a batch of two.

    Args:
        length: Number of validation samples.
        batch_size: Largest number of samples a rank takes at once.
        rank: This process.
        world_size: Number of processes.

    Returns:
        This rank's batches; none at all for no samples.

    Raises:
        ValueError: For fewer samples than ranks.
    """
    if not length:
        return []
    if length < world_size or batch_size < 1:
        raise ValueError(
            f"validation: expected at least one page for each of {world_size} devices and a batch size of at least 1, "
            f"got {length} pages and {batch_size}; hold out more chapters (data.source.val_chapters)"
        )
    fewest, most = length // world_size, -(-length // world_size)
    number = min(-(-most // batch_size), fewest)
    mine = list(range(rank, length, world_size))
    bounds = [len(mine) * place // number for place in range(number + 1)]
    return [[(index, index) for index in mine[low:high]] for low, high in pairwise(bounds)]
