"""Training of the in-context colorizer: guider and LoRA (paper section 3.2, Eq. 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from colorflow.diffusion.noise import SampleNoise, draw_noise
from colorflow.diffusion.objective import DiffusionObjective, regression_target
from colorflow.models.icp_model import ICPModel
from colorflow.schema import ColorizationBatch, LatentBatch
from colorflow.tasks.supervision import AttentionSupervision
from colorflow.tasks.trainable import OptimizerFactory, SchedulerFactory, TrainableTask, validation_means
from colorflow.utils.hashing import digest_json
from colorflow.utils.tensors import digest_weights


class ICPTask(TrainableTask):
    """Denoise the colour canvas, given the canvas with the query in black and white.

    Args:
        model: Base, guider and LoRA.
        objective: Timestep sampling and loss.
        optimizer: See `TrainableTask`.
        lr_scheduler: See `TrainableTask`.
        validation_timesteps: The validation loss is measured at each of these, with fixed noise.
        supervision: Tells the guider's attention where to look, on batches with labels; None (the paper) does not.
    """

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
        self.model = model
        self.supervision = supervision
        if supervision is not None:
            supervision.watch(model.guider)
        self.objective = objective
        self.sample_losses: tuple[Tensor, Tensor] | None = None  # timesteps and losses of the last batch, (B,) each
        self.validation_timesteps = tuple(validation_timesteps)
        names = ["val/loss", *(f"val/loss_t{timestep:03d}" for timestep in validation_timesteps)]
        self.validation_means = validation_means(names)
        self.timestep_weights: Tensor
        self.register_buffer("timestep_weights", objective.weights(model.noise_scheduler), persistent=False)

    def training_step(self, batch: ColorizationBatch | LatentBatch, batch_idx: int) -> Tensor:
        """Eq. 4 at timesteps of Eq. 5; scalar loss."""
        encoded = self.model.encode_batch(batch)
        noise = self._draw(encoded)
        timesteps = self.objective.timesteps(noise.uniform, self.model.noise_scheduler)
        losses = self._losses(encoded, noise, timesteps) * self.timestep_weights[timesteps]
        self.sample_losses = timesteps, losses.detach()
        self.log_losses({"train/loss": losses.mean()}, len(batch))
        return losses.mean() + self._attention_loss(encoded)

    def validation_step(self, batch: ColorizationBatch | LatentBatch, batch_idx: int) -> None:
        """Unweighted loss at fixed timesteps and noise: comparable over steps and runs."""
        encoded = self.model.encode_batch(batch)
        noise = self._draw(encoded)
        for timestep in self.validation_timesteps:
            losses = self._losses(encoded, noise, torch.full((len(batch),), timestep, device=self.device))
            for name in ("val/loss", f"val/loss_t{timestep:03d}"):
                self.validation_means[name](losses)
        self.log_dict(dict(self.validation_means.items()))

    def predict_step(self, batch: ColorizationBatch, batch_idx: int) -> LatentBatch:
        """What `data/cache_latents.py` keeps of a batch."""
        return self.model.encode_batch(batch)

    def encoder_key(self, precision: str) -> str:
        """Digest of all that a posterior depends on beside the canvas: the VAE, its precision, what is encoded."""
        vae = self.model.vae
        config = {name: value for name, value in vae.config.items() if not name.startswith("_")}
        encodings = self.model.guider.conditioning_channels
        return digest_json([config, digest_weights(vae), encodings, precision])

    def _attention_loss(self, batch: LatentBatch) -> Tensor | float:
        """Weighted loss of the guider's supervised attention; 0 without supervision or labels."""
        if self.supervision is None or batch.labels is None:
            return 0.0
        loss, mass = self.supervision.loss(batch.labels, batch.mask)
        self.log_losses({"train/attention": loss, "train/attention_mass": mass}, len(batch))
        return self.supervision.weight(self.global_step) * loss

    def _draw(self, batch: LatentBatch) -> SampleNoise:
        channels, height, width = batch.target.shape[2:]
        return draw_noise(batch.seeds, (channels, height, width), self.device)

    def _losses(self, batch: LatentBatch, noise: SampleNoise, timesteps: Tensor) -> Tensor:
        """One loss a sample, ``(B,)``."""
        scheduler = self.model.noise_scheduler
        latents = self.model.draw_latents(batch, noise.target)
        noisy_latents = scheduler.add_noise(latents, noise.noise, timesteps)
        prediction = self.predict(noisy_latents, timesteps, batch, noise)
        target = regression_target(scheduler, latents, noise.noise, timesteps)
        return self.objective.loss(prediction, target, batch.mask)

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, batch: LatentBatch, noise: SampleNoise) -> Tensor:
        """The network's answer ``(B, C, h, w)``."""
        return self.model(noisy_latents, timesteps, self.model.draw_condition(batch, noise.condition))
