"""What all tasks share: optimizer wiring, and checkpoints that hold only what is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from colorflow.pipelines.export import ExportSettings
from colorflow.pipelines.icp import Sampling
from colorflow.schema import ColorizationBatch
from colorflow.utils.tensors import check_exactly

OptimizerFactory = Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


def validation_means(names: Iterable[str]) -> Any:
    """A ``ModuleDict`` of means over validation samples: right also where processes hold different numbers of them.

    Lightning's own mean over processes rounds their mean number of samples to an integer (2.6: 3 pages on 2 devices
    count as 2), so every mean is a metric that counts for itself.
    """
    return nn.ModuleDict({name: MeanMetric() for name in names})


class TimestepLosses(NamedTuple):
    """What a step knows beside its loss.

    Attributes:
        timesteps: ``(B,)`` integers in [0, total).
        losses: ``(B,)``, without gradient.
        total: Number of timesteps.
    """

    timesteps: Tensor
    losses: Tensor
    total: int


class TrainableTask(LightningModule):
    """Base of the tasks, and all that callbacks ask of one: what a task does not have, it leaves as it is here.

    Args:
        optimizer: Builds the optimizer from names and parameters of what is trained.
        lr_scheduler: Builds the learning-rate schedule, stepped after every optimizer step; None keeps it constant.

    Attributes:
        timestep_losses: Of the last training batch, where a step has timesteps.
        colors_canvases: Whether `colorize` is there.
        export_pages: Held-out pages that `export_to` measures on.
    """

    timestep_losses: TimestepLosses | None = None
    colors_canvases: bool = False
    export_pages: int = 0

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

    def preview(self, batch: Any, sampling: Sampling) -> list[Tensor]:
        """Rows of a picture of what is learned: ``(B, 3, H, W)`` each, in [-1, 1]; empty where there is nothing to see.

        Args:
            batch: Held-out samples, on the task's device.
            sampling: How results are sampled, where they are.
        """
        return []

    def colorize(self, batch: ColorizationBatch, sampling: Sampling, purpose: str) -> Tensor:
        """Coloured canvases ``(B, 3, H, W)`` in [-1, 1]; each from its own seed and the purpose's name."""
        raise NotImplementedError

    def export_to(self, folder: Path, settings: ExportSettings, batch: Any) -> None:
        """Write what was trained.

        Args:
            folder: Where to.
            settings: What an export says beside its weights.
            batch: ``export_pages`` held-out samples; None where none are asked for.
        """

    def encoder_key(self, precision: str) -> str:
        """Digest of all that cached posteriors of the VAE depend on beside the canvas.

        Raises:
            ValueError: Where a task has no use for them.
        """
        raise ValueError(
            f"data.latents: expected task=icp, got {type(self).__name__}, which trains on pictures and not on cached "
            "latents; set data.latents=null"
        )

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
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
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
            CheckpointError: Naming how many keys are missing, unexpected and of another shape.
        """
        remedy = "resume with the experiment and model of the run that wrote it"
        check_exactly(self.kept(), checkpoint["state_dict"], "checkpoint of this task", remedy)
