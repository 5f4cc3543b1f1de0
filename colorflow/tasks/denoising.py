"""What tasks share that learn to denoise: a loss at every timestep, logged and validated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from colorflow.diffusion.noise import SampleNoise
from colorflow.diffusion.objective import DiffusionObjective, regression_target
from colorflow.models.icp_model import ICPModel
from colorflow.tasks.supervision import AttentionSupervision
from colorflow.tasks.trainable import (
    OptimizerFactory,
    SchedulerFactory,
    TimestepLosses,
    TrainableTask,
    validation_means,
)


class Drawn(NamedTuple):
    """A batch as a step sees it, ``(B, ..., h, w)`` each; the condition is the guider's.

    The hint is added to the noisy latents. Weights are of pixels in the loss; None: the objective's, by the mask.
    """

    latents: Tensor
    noise: SampleNoise
    mask: Tensor
    condition: Tensor | None = None
    hint: Tensor | None = None
    weight: Tensor | None = None


class DenoisingTask(TrainableTask):
    """A task with a loss at every timestep; a subclass says what a batch is.

    Args:
        model: What denoises.
        objective: Timestep sampling and loss.
        validation_timesteps: The validation loss is measured at each of these, with fixed noise.
        supervision: Tells attention where to look, on batches with labels: the guider's, or without one the base
            network's. None (the paper) does not.
    """

    timestep_weights: Tensor

    def __init__(
        self,
        model: ICPModel,
        objective: DiffusionObjective,
        optimizer: OptimizerFactory,
        lr_scheduler: SchedulerFactory | None = None,
        validation_timesteps: Sequence[int] = (100, 300, 500, 700, 900),
        supervision: AttentionSupervision | None = None,
    ) -> None:
        super().__init__(optimizer, lr_scheduler)
        self.model, self.objective = model, objective
        self.supervision = supervision
        if supervision is not None:
            supervision.watch(model.network if model.guider is None else model.guider)
        self.validation_timesteps = tuple(validation_timesteps)
        names = ["val/loss", *(f"val/loss_t{timestep:03d}" for timestep in validation_timesteps)]
        self.validation_means = validation_means(names)
        self.register_buffer("timestep_weights", objective.weights(model.noise_scheduler), persistent=False)

    @abstractmethod
    def draw(self, batch: Any) -> Drawn:
        """Latents and all that is drawn for them, each sample from its own seed."""

    def losses(self, drawn: Drawn, timesteps: Tensor) -> Tensor:
        """Eq. 4, one loss a sample ``(B,)``, at timesteps ``(B,)``."""
        schedule, noise = self.model.noise_scheduler, drawn.noise.noise
        noisy_latents = schedule.add_noise(drawn.latents, noise, timesteps)
        given = noisy_latents if drawn.hint is None else noisy_latents + drawn.hint
        prediction = self.model(given, timesteps, drawn.condition)
        weight = self.objective.pixel_weights(drawn.mask) if drawn.weight is None else drawn.weight
        return self.objective.loss(prediction, regression_target(schedule, drawn.latents, noise, timesteps), weight)

    def log_step(self, timesteps: Tensor, losses: Tensor) -> Tensor:
        """The loss of a step: the mean of its samples' ``(B,)``, weighted by timestep; logged."""
        losses = losses * self.timestep_weights[timesteps]
        self.timestep_losses = TimestepLosses(timesteps, losses.detach(), len(self.timestep_weights))
        self.log_losses({"train/loss": losses.mean()}, len(losses))
        return losses.mean()

    def attention_loss(self, labels: Tensor | None, mask: Tensor, chosen: Tensor | None = None) -> Tensor | float:
        """Weighted loss of the supervised attention of the last forward pass, logged; 0 without supervision or labels.

        Args:
            labels: See `AttentionSupervision.loss`, as the others.
            mask: 0 on the query.
            chosen: Samples that count.
        """
        if self.supervision is None or labels is None:
            return 0.0
        loss, mass = self.supervision.loss(labels, mask, chosen)
        self.log_losses({"train/attention": loss, "train/attention_mass": mass}, len(labels))
        return self.supervision.weight(self.global_step) * loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Unweighted loss at fixed timesteps and noise: comparable over steps and runs."""
        drawn = self.draw(batch)
        for timestep in self.validation_timesteps:
            losses = self.losses(drawn, torch.full((len(batch),), timestep, device=self.device))
            for name in ("val/loss", f"val/loss_t{timestep:03d}"):
                self.validation_means[name](losses)
        self.log_dict(dict(self.validation_means.items()))
