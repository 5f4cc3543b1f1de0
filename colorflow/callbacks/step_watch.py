"""What a training does beside its loss: loss by timestep, samples a second, waiting for the loader, memory."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.schema import Batch
from colorflow.tasks.icp_task import ICPTask


class StepWatch(Callback):
    """Log, at the trainer's ``log_every_n_steps``, what has gathered since the last time; nothing is read back between.

    ``watch/loss_tA_B``: mean loss of the samples with timesteps in [A, B), on all devices; not where there are none.
    ``watch/samples_per_second``: on all devices, validation and grids not counted. ``watch/loader_wait``: share of
    that time that this device waited for a batch. ``watch/peak_gb``: largest allocation so far, on a GPU.

    Args:
        bins: Into how many equal parts the timesteps are divided.
    """

    def __init__(self, bins: int = 5) -> None:
        self.bins = bins
        self._samples, self._waited = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._step = trainer.global_step
        self._sums = torch.zeros(2, self.bins, device=pl_module.device)
        self._start()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """The batch is there."""
        self._waited += time.perf_counter() - self._free

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Gather, and log where it is time."""
        self._samples += len(batch) * trainer.world_size
        if isinstance(pl_module, ICPTask) and pl_module.sample_losses is not None:
            timesteps, losses = pl_module.sample_losses
            places = timesteps * self.bins // pl_module.model.noise_scheduler.config.num_train_timesteps
            self._sums.index_add_(1, places, torch.stack([losses, torch.ones_like(losses)]))
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

    def _log(self, trainer: Trainer, task: LightningModule) -> None:
        seconds = time.perf_counter() - self._since
        values = {"samples_per_second": self._samples / seconds, "loader_wait": self._waited / seconds}
        if task.device.type == "cuda":
            values["peak_gb"] = torch.cuda.max_memory_allocated(task.device) / 1e9
        sums, counts = trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        steps = task.model.noise_scheduler.config.num_train_timesteps if isinstance(task, ICPTask) else 0
        for place, (total, count) in enumerate(zip(sums, counts, strict=True)):
            if count:
                low, high = (steps * edge // self.bins for edge in (place, place + 1))
                values[f"loss_t{low:03d}_{high:03d}"] = total / count
        task.log_dict({f"watch/{name}": value for name, value in values.items()}, batch_size=1)
        self._start()
