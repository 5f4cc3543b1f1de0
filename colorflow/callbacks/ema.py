"""Exponential moving average of the trained weights, by diffusers' own EMAModel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from lightning import Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.tasks.trainable import TrainableTask


class EMA(Callback):
    """Average after every optimizer step; validate, draw and export with the average.

    Args:
        decay: Largest decay; a warm-up of ``(1 + step) / (10 + step)`` precedes it.
        every_n_steps: Average every n-th optimizer step only.
    """

    def __init__(self, decay: float = 0.9999, every_n_steps: int = 1) -> None:
        self.decay, self.every_n_steps = decay, every_n_steps
        self.model: EMAModel | None = None
        self._restored: dict[str, Any] | None = None
        self._averaged_at = 0

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start from the weights, or from the resumed average."""
        self.model = EMAModel(_parameters(pl_module), decay=self.decay, foreach=True)
        if self._restored is not None:
            self.model.load_state_dict(self._restored)
            self._restored = None
        self.model.to(pl_module.device)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """A resumed run starts at the step that its checkpoint had averaged (known here, not yet in `on_fit_start`)."""
        self._averaged_at = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Average once an optimizer step, also under accumulation."""
        if trainer.global_step != self._averaged_at and trainer.global_step % self.every_n_steps == 0:
            assert self.model is not None
            self._averaged_at = trainer.global_step
            self.model.step(_parameters(pl_module))

    @contextmanager
    def averaged(self, task: TrainableTask) -> Iterator[None]:
        """The task holds the average inside the block, its own weights again after it."""
        if self.model is None:
            yield
            return
        self.model.store(_parameters(task))
        self.model.copy_to(_parameters(task))
        try:
            yield
        finally:
            self.model.restore(_parameters(task))

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Validate the average; weights come back in `on_validation_end`."""
        if self.model is not None:
            self._swapped = self.averaged(pl_module)
            self._swapped.__enter__()

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Put the trained weights back."""
        if self.model is not None:
            self._swapped.__exit__(None, None, None)

    def state_dict(self) -> dict[str, Any]:
        """The average and its step counter, saved in every checkpoint."""
        return {} if self.model is None else self.model.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the saved average until training starts."""
        self._restored = dict(state_dict) or None


def averaged_weights(trainer: Trainer, task: TrainableTask) -> Any:
    """Context in which the task holds its averaged weights, where the trainer keeps an average."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EMA):
            return callback.averaged(task)
    return EMA().averaged(task)


def _parameters(task: TrainableTask) -> list[torch.nn.Parameter]:
    return list(task.trainable().values())
