"""Training of the in-context colorizer: guider and LoRA (paper section 3.2, Eq. 4 and 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from colorflow.diffusion.noise import draw_noise
from colorflow.pipelines.export import ExportSettings, save_export
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.schema import ColorizationBatch, LatentBatch
from colorflow.tasks.denoising import DenoisingTask, Drawn
from colorflow.utils.hashing import digest_json
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import digest_weights


class ICPTask(DenoisingTask):
    """Denoise the colour canvas, given the canvas with the query in black and white."""

    colors_canvases = True

    def training_step(self, batch: ColorizationBatch | LatentBatch, batch_idx: int) -> Tensor:
        """Eq. 4 at timesteps of Eq. 5; scalar loss."""
        drawn = self.draw(batch)
        timesteps = self.objective.timesteps(drawn.noise.uniform, self.model.noise_scheduler)
        loss = self.log_step(timesteps, self.losses(drawn, timesteps))
        return loss + self.attention_loss(batch.labels, drawn.mask)

    def draw(self, batch: ColorizationBatch | LatentBatch) -> Drawn:
        """Encode by the frozen VAE (a cache has done that already), then draw latents and noise."""
        posteriors = self.model.encode_batch(batch)
        noise = draw_noise(batch.seeds, posteriors.target.shape[2:], self.device)
        latents = self.model.draw_latents(posteriors, noise.target)
        return Drawn(latents, noise, posteriors.mask, self.model.draw_condition(posteriors, noise.condition))

    def predict_step(self, batch: ColorizationBatch, batch_idx: int) -> LatentBatch:
        """What `data/cache_latents.py` keeps of a batch."""
        return self.model.encode_batch(batch)

    def encoder_key(self, precision: str) -> str:
        """Digest of all that a posterior depends on beside the canvas: the VAE, its precision, what is encoded."""
        vae = self.model.vae
        config = {name: value for name, value in vae.config.items() if not name.startswith("_")}
        encodings = self.model.guider.conditioning_channels
        return digest_json([config, digest_weights(vae), encodings, precision])

    def colorize(self, batch: ColorizationBatch, sampling: Sampling, purpose: str) -> Tensor:
        """See `TrainableTask.colorize`."""
        pipeline = ICPPipeline(self.model)
        pipeline.set_progress_bar_config(disable=True)
        seeds = [generator(seed, purpose) for seed in batch.seeds]
        return pipeline(batch.condition, batch.mask, sampling, generator=seeds)

    def preview(self, batch: ColorizationBatch, sampling: Sampling) -> list[Tensor]:
        """Condition, result and truth."""
        return [batch.condition, self.colorize(batch, sampling, "grid"), batch.target]

    def export_to(self, folder: Path, settings: ExportSettings, batch: Any) -> None:
        """An export folder: guider, LoRA, base."""
        save_export(
            self.model, folder, settings.page_size, settings.retrieval, num_inference_steps=settings.num_inference_steps
        )
