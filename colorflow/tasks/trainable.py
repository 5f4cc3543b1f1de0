"""What all tasks share: optimizer wiring, and checkpoints that hold only what is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

OptimizerFactory = Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


def validation_means(names: Iterable[str]) -> Any:
    """A ``ModuleDict`` of means over validation samples: right also where processes hold different numbers of them.

    Lightning's own mean over processes rounds their mean number of samples to an integer (2.6: 3 pages on 2 devices
    count as 2), so every mean is a metric that counts for itself.
    """
    return nn.ModuleDict({name: MeanMetric() for name in names})


class TrainableTask(LightningModule):
    """Base of the tasks.

    Args:
        optimizer: Builds the optimizer from the trainable parameters and their names.
        lr_scheduler: Builds the learning-rate schedule, stepped after every optimizer step; None keeps it constant.
    """

    def __init__(self, optimizer: OptimizerFactory, lr_scheduler: SchedulerFactory | None = None) -> None:
        super().__init__()
        self.strict_loading = False  # checkpoints lack the frozen weights; on_load_checkpoint checks the rest
        self._optimizer, self._lr_scheduler = optimizer, lr_scheduler
        self.grad_norm: Tensor | None = None

    def trainable(self) -> dict[str, nn.Parameter]:
        """Everything that is trained, by its name in this module."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def kept_buffers(self) -> dict[str, Tensor]:
        """Buffers that training changes, by their name in this module: saved beside what is trained."""
        return {}

    def kept(self) -> dict[str, Tensor]:
        """Everything that training changes: what a checkpoint holds of this module."""
        return {**self.trainable(), **self.kept_buffers()}

    def configure_optimizers(self) -> Any:
        """Optimizer over the trainable parameters, and its schedule by step."""
        optimizer = self._optimizer(self.trainable().items())
        if self._lr_scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._lr_scheduler(optimizer), "interval": "step"},
        }

    def on_after_backward(self) -> None:
        """Take the norm of the gradients, once, for the clipping, the guard and the log."""
        gradients = [parameter.grad for parameter in self.trainable().values() if parameter.grad is not None]
        self.grad_norm = torch.nn.utils.get_total_norm(gradients)

    def log_losses(self, losses: dict[str, Tensor], size: int) -> None:
        """Log the losses of a training batch: at steps that are written their mean over devices, else this device's.

        Lightning's own ``sync_dist`` makes all devices wait for each other and for their work, at every step.

        Args:
            losses: Scalars by name.
            size: Samples in this device's batch.
        """
        trainer: Any = self._trainer  # None in a step taken by hand
        if trainer is not None and (trainer.global_step + 1) % trainer.log_every_n_steps == 0:
            reduce = trainer.strategy.reduce
            losses = {name: reduce(loss.detach().clone(), reduce_op="mean") for name, loss in losses.items()}
        self.log_dict(losses, prog_bar=True, batch_size=size)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm also under bf16 with a fused optimizer; log the norm before it.

        Lightning refuses that for every mixed precision, because a fused optimizer unscales fp16 gradients itself;
        bf16 gradients are never scaled.
        """
        assert self.grad_norm is not None
        self.log("train/grad_norm", self.grad_norm)
        if gradient_clip_val and str(self.trainer.precision) == "bf16-mixed" and gradient_clip_algorithm != "value":
            torch.nn.utils.clip_grads_with_norm_(self.trainable().values(), gradient_clip_val, self.grad_norm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what training changes: a checkpoint of the paper's model is 10 GB smaller for it."""
        kept = self.kept()
        checkpoint["state_dict"] = {key: value for key, value in checkpoint["state_dict"].items() if key in kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint whose tensors are not exactly the trainable ones.

        Raises:
            ValueError: Naming how many keys are missing, unexpected and of another shape.
        """
        expected, got = self.kept(), checkpoint["state_dict"]
        missing, unexpected = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
        misfit = [key for key in expected.keys() & got.keys() if expected[key].shape != got[key].shape]
        if missing or unexpected or misfit:
            raise ValueError(
                f"checkpoint does not fit this task: expected {len(expected)} trained tensors, {len(missing)} missing "
                f"(first: {missing[:1]}), {len(unexpected)} unexpected (first: {unexpected[:1]}), {len(misfit)} of "
                f"another shape (first: {sorted(misfit)[:1]}); resume with the experiment and model of the run that "
                "wrote it"
            )
