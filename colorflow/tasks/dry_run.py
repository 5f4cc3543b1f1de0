"""What a dry run prints: sizes, memory and data, known before anything expensive."""

from __future__ import annotations

from lightning import LightningDataModule
from rich.console import Console
from rich.table import Table

from colorflow.tasks.trainable import TrainableTask

_GB = 1e9


def memory_estimate(task: TrainableTask, ema: bool) -> dict[str, float]:
    """Bytes of weights, gradients, AdamW moments and average on one device; activations come on top.

    Args:
        task: Built task; parameters count in the precision they are kept in.
        ema: Whether an average of the trained weights is kept.
    """
    trained = sum(parameter.numel() * parameter.element_size() for parameter in task.trainable().values())
    weights = sum(parameter.numel() * parameter.element_size() for parameter in task.parameters())
    return {
        "frozen weights": weights - trained,
        "trained weights": trained,
        "gradients": trained,
        "AdamW moments": 2 * trained,
        "average (EMA)": trained if ema else 0,
    }


def print_summary(task: TrainableTask, data: LightningDataModule, ema: bool, loss: float, seconds: float) -> None:
    """Print the table of a dry run."""
    table = Table(title="dry run: one step done, nothing kept", show_header=False)
    trained = task.trainable()
    table.add_row("task", type(task).__name__)
    table.add_row("trained", f"{sum(item.numel() for item in trained.values()) / 1e6:.2f} M in {len(trained)} tensors")
    for name in ("train", "val"):
        samples = getattr(data, f"{name}_samples", None)
        table.add_row(f"{name} pages", "none" if samples is None else str(len(samples)))
    memory = memory_estimate(task, ema)
    for part, size in memory.items():
        table.add_row(part, f"{size / _GB:.2f} GB")
    table.add_row("in all, without activations", f"{sum(memory.values()) / _GB:.2f} GB a device")
    table.add_row("first loss", f"{loss:.4f}")
    table.add_row("first step", f"{seconds:.1f} s, loading included")
    Console().print(table)
