"""What a training does beside its loss: loss by timestep, samples a second, waiting for the loader, memory."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.utils.flop_counter import FlopCounterMode

from colorflow.schema import Batch
from colorflow.tasks.dry_run import GPUS
from colorflow.tasks.trainable import TrainableTask


class StepWatch(Callback):
    """Log, at the trainer's ``log_every_n_steps``, what has gathered since the last time; nothing is read back between.

    ``watch/loss_tA_B``: mean loss of the samples with timesteps in [A, B), on all devices; not where there are none.
    ``watch/samples_per_second``: on all devices, validation and grids not counted. ``watch/loader_wait``: share of
    that time that this device waited for a batch. ``watch/peak_gb``: largest allocation so far, on a GPU.
    ``watch/mfu``: share of the devices' dense bf16 peak that the arithmetic of those samples is, counted over the first
    batch's forward and backward pass as `torch.utils.flop_counter` counts; not where the peak is unknown or blocks
    are compiled, which it does not see into.

    Args:
        bins: Into how many equal parts the timesteps are divided.
        peak_tflops: TFLOP/s of one device; None takes that of a known GPU (`GPUS`).
    """

    def __init__(self, bins: int = 5, peak_tflops: float | None = None) -> None:
        self.bins, self.peak_tflops = bins, peak_tflops
        self._samples, self._waited = 0, 0.0
        self._counter: FlopCounterMode | None = None
        self._flops: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._step = trainer.global_step
        self._sums = torch.zeros(2, self.bins, device=pl_module.device)
        if self.peak_tflops is None:
            self.peak_tflops = _known_peak(pl_module.device)
        self._start()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """The batch is there; the arithmetic of the first one is counted."""
        self._waited += time.perf_counter() - self._free
        if self.peak_tflops is None or self._flops is not None:
            return
        if not any(part._compiled_call_impl is not None for part in pl_module.modules()):
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()
            self._counted = len(batch)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the count."""
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._flops, self._counter = self._counter.get_total_flops() / self._counted, None

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Gather, and log where it is time."""
        self._samples += len(batch) * trainer.world_size
        if (found := pl_module.timestep_losses) is not None:
            places = found.timesteps * self.bins // found.total
            self._sums.index_add_(1, places, torch.stack([found.losses, torch.ones_like(found.losses)]))
        if trainer.global_step != self._step and trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._log(trainer, pl_module)
        self._step = trainer.global_step
        self._free = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._stopped = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let it go on, if training has begun."""
        if hasattr(self, "_since"):
            self._free = time.perf_counter()
            self._since += self._free - self._stopped

    def _start(self) -> None:
        self._since = self._free = time.perf_counter()
        self._samples, self._waited = 0, 0.0
        self._sums.zero_()

    def _log(self, trainer: Trainer, task: TrainableTask) -> None:
        seconds = time.perf_counter() - self._since
        values = {"samples_per_second": self._samples / seconds, "loader_wait": self._waited / seconds}
        if task.device.type == "cuda":
            values["peak_gb"] = torch.cuda.max_memory_allocated(task.device) / 1e9
        if self._flops is not None and self.peak_tflops is not None:
            values["mfu"] = values["samples_per_second"] * self._flops / (self.peak_tflops * 1e12 * trainer.world_size)
        sums, counts = trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        steps = 0 if task.timestep_losses is None else task.timestep_losses.total
        for place, (total, count) in enumerate(zip(sums, counts, strict=True)):
            if count:
                low, high = (steps * edge // self.bins for edge in (place, place + 1))
                values[f"loss_t{low:03d}_{high:03d}"] = total / count
        task.log_dict({f"watch/{name}": value for name, value in values.items()}, batch_size=1)
        self._start()


def _known_peak(device: torch.device) -> float | None:
    """TFLOP/s of dense bf16 of a GPU whose name tells."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for gpu, (peak, _) in GPUS.items() if gpu in name), None)
