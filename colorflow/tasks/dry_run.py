"""What a dry run prints: sizes, memory, data, and the days a training would take, known before anything expensive."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from colorflow.schema import Batch
from colorflow.tasks.trainable import TrainableTask
from colorflow.utils.memory import AllocatorPeaks, MemoryTracker

_GB = 1e9
_DAY = 86400.0
GPUS = {"A100": (312.0, 80.0), "H100": (790.0, 80.0), "H200": (790.0, 141.0)}
"""TFLOP/s of dense bf16, and GB of memory. Lightning's `get_available_flops` counts the sparse ones of some."""


@dataclass(frozen=True)
class Projection:
    """The GPUs that a training is projected to.

    Attributes:
        gpu: One of `GPUS`, or its TFLOP/s of dense bf16 as a number.
        devices: How many.
        mfu: Share of the TFLOP/s that the training reaches. 0.35 is predicted, not measured: 28 % was published for
            Stable Diffusion's U-Net on A100s (MosaicML), 40 % would be good.
    """

    gpu: str | float = "H200"
    devices: int = 8
    mfu: float = 0.35

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: For an unknown GPU and impossible numbers.
        """
        if isinstance(self.gpu, str) and self.gpu not in GPUS:
            raise ValueError(f"projection.gpu: expected one of {', '.join(GPUS)} or its TFLOP/s, got {self.gpu!r}")
        if self.devices < 1 or not 0 < self.mfu <= 1:
            raise ValueError(f"projection: expected devices and an mfu in (0, 1], got {self.devices} and {self.mfu}")

    @property
    def memory(self) -> float | None:
        """Bytes of one; None where only its speed was given."""
        return GPUS[self.gpu][1] * _GB if isinstance(self.gpu, str) else None

    def days(self, flops: float) -> float:
        """Days that so many FLOP take."""
        speed = GPUS[self.gpu][0] if isinstance(self.gpu, str) else self.gpu
        return flops / (speed * 1e12 * self.mfu * self.devices) / _DAY


class StepCosts(Callback):
    """Counts the forward and backward pass of one batch on this process.

    Attributes:
        samples: Samples of the batch.
        flops: FLOP of all of them, 2 a multiply-accumulate, of products, convolutions and attention.
        peak: Largest number of bytes that activations and gradients take together.
    """

    samples, flops, peak = 0, 0, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Begin to count."""
        self.samples = len(batch)
        self._modes = ExitStack()
        self._counter = self._modes.enter_context(FlopCounterMode(display=False))
        on_gpu = pl_module.device.type == "cuda"
        self._peaks = AllocatorPeaks(pl_module.device) if on_gpu else MemoryTracker(pl_module.device)
        self._modes.enter_context(self._peaks)
        self._modes.enter_context(self._peaks.stage("step"))
        self._weights = _bytes(pl_module.parameters()) if on_gpu else 0  # the allocator counts what was there before

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Stop counting: what the optimizer keeps is known without."""
        self._modes.close()
        self.flops, self.peak = self._counter.get_total_flops(), self._peaks.peak - self._weights


def memory_estimate(task: TrainableTask, ema: bool) -> dict[str, float]:
    """Bytes of weights, gradients, AdamW moments and average on one device; activations come on top.

    Args:
        task: Built task; parameters count in the precision they are kept in.
        ema: Whether an average of the trained weights is kept.
    """
    trained = _bytes(task.trainable().values())
    return {
        "frozen weights": _bytes(task.parameters()) - trained,
        "trained weights": trained,
        "gradients": trained,
        "AdamW moments": 2 * trained,
        "average (EMA)": trained if ema else 0,
    }


def cost_rows(
    memory: dict[str, float], costs: StepCosts, training_samples: int, projection: Projection
) -> list[tuple[str, str]]:
    """Rows on memory and time.

    Args:
        memory: See `memory_estimate`.
        costs: Of one step.
        training_samples: Samples of the whole training.
        projection: The GPUs.
    """
    kept = sum(memory.values()) - memory["gradients"]  # which come as activations go
    flops, a_sample = costs.flops / costs.samples, costs.peak / costs.samples
    where = f"{projection.devices} x {projection.gpu} at {projection.mfu:.0%} of dense bf16"
    rows = [(part, f"{size / _GB:.2f} GB") for part, size in memory.items()]
    rows += [
        (
            "activations with gradients",
            f"{costs.peak / _GB:.2f} GB at {costs.samples} samples, in this run's precision",
        ),
        ("in all", f"{(kept + costs.peak) / _GB:.2f} GB a device, beside the device's own context"),
        ("arithmetic", f"{flops / 1e12:.3g} TFLOP a sample, forward and backward"),
        ("the whole training", f"{projection.days(flops * training_samples):.3g} days on {where}"),
    ]
    if projection.memory is not None:
        largest = max(0, int((0.95 * projection.memory - kept) / max(a_sample, 1.0)))
        rows.append(("largest batch there", f"{largest} samples a device"))
    return rows


def print_summary(
    task: TrainableTask, data: LightningDataModule, rows: list[tuple[str, str]], loss: float, seconds: float
) -> None:
    """Print the table of a dry run."""
    table = Table(title="dry run: one step done, nothing kept", show_header=False)
    trained = task.trainable()
    table.add_row("task", type(task).__name__)
    table.add_row("trained", f"{sum(item.numel() for item in trained.values()) / 1e6:.2f} M in {len(trained)} tensors")
    for name in ("train", "val"):
        samples = getattr(data, f"{name}_samples", None)
        table.add_row(f"{name} pages", "none" if samples is None else str(len(samples)))
    for row in rows:
        table.add_row(*row)
    table.add_row("first loss", f"{loss:.4f}")
    table.add_row("first step", f"{seconds:.1f} s, loading and counting included")
    Console().print(table)


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
