"""In-context colorization of stitched canvases (paper section 3.2; released code 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, ModelMixin
from diffusers.schedulers import SchedulerMixin
from torch import Tensor

from colorflow.models.conditioning import Region, decode_latents, decode_region
from colorflow.models.icp_model import ICPModel

StepCallback = Callable[[Any, int, int, dict[str, Tensor]], "dict[str, Tensor] | None"]
"""diffusers' ``callback_on_step_end``: (pipeline, step index, timestep, {"latents": ...}); may return other latents."""

Stage = Literal["retrieve", "encode", "denoise", "decode", "super_resolve"]
StageCallback = Callable[[Stage], None]
"""Called when a stage begins."""


STEPS = 10
"""Of the solver, in the released demo."""


@dataclass(frozen=True)
class Sampling:
    """How a canvas is sampled.

    Attributes:
        num_inference_steps: Steps of the family's solver; None: what the weights' export asks for, else `STEPS`.
        guidance_scale: 1 runs the networks once a step; above 1, classifier-free guidance with the empty
            prompt, as released (7.5 there).
        conditioning_scale: Factor on the guider's residuals.
        samples: Draws of the initial noise whose results' mean latents are decoded: where colors are uncertain, less of
            it is blotches, at so many times the cost (our choice).

    Raises:
        ValueError: For less than one step or sample.
    """

    num_inference_steps: int | None = None
    guidance_scale: float = 1.0
    conditioning_scale: float = 1.0
    samples: int = 1

    def __post_init__(self) -> None:
        """Check what would only fail in the middle of a page."""
        for name in ("num_inference_steps", "samples"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"sampling.{name}: expected at least 1, got {count}")

    @property
    def steps(self) -> int:
        """Of the solver."""
        return self.num_inference_steps or STEPS

    def or_steps(self, steps: int | None) -> Sampling:
        """The same with so many steps where it says none."""
        return self if self.num_inference_steps else replace(self, num_inference_steps=steps or STEPS)


class ICPPipeline(DiffusionPipeline):
    """Colours the query region of stitched canvases, whatever the family.

    Args:
        model: Its networks are shared, nothing is copied.
        scheduler: Inference scheduler; default: the family's solver on the model's noise schedule.
    """

    def __init__(self, model: ICPModel, scheduler: SchedulerMixin | None = None) -> None:
        super().__init__()
        scheduler = scheduler or model.denoiser.inference_scheduler(model.noise_scheduler.config)
        self.register_modules(model=model, scheduler=scheduler)

    @property
    def vae(self) -> AutoencoderKL:
        """The model's autoencoder."""
        return self.model.vae

    @property
    def network(self) -> ModelMixin:
        """The model's base network, with its LoRA (injected or merged)."""
        return self.model.network

    @property
    def guider(self) -> ModelMixin:
        """The model's guider."""
        return self.model.guider

    @torch.no_grad()
    def __call__(
        self,
        canvas: Tensor,
        mask: Tensor,
        sampling: Sampling = Sampling(),
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        posterior_noise: Sequence[Tensor] | None = None,
        share_condition: bool = False,
        region: Region | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_stage: StageCallback | None = None,
    ) -> Tensor:
        """Sample coloured canvases.

        Args:
            canvas: ``(B, 3, H, W)`` in [-1, 1], the query in black and white, references in colour.
            mask: ``(B or 1, 1, H, W)``, 0 on the query, 1 elsewhere.
            sampling: Steps and scales.
            generator: CPU generator, or one a canvas; then a canvas's result does not depend on its batch.
            latents: ``(B, C, h, w)`` initial noise instead of draws; of n samples ``(n B, C, h, w)``, sample by sample.
            posterior_noise: VAE posterior draws of the (first, second) encoding instead of draws, each
                ``(B, C, h, w)``, or ``(2 B, C, h, w)`` in the order [negative, positive] under guidance that does not
                share its condition.
            share_condition: Under guidance, encode and guide once for both halves; False is as released.
            region: What is decoded; None decodes the whole canvas.
            callback_on_step_end: See `StepCallback`.
            callback_on_stage: See `StageCallback`.

        Returns:
            ``(B, 3, H, W)``, or the region's size, float32 in [-1, 1].
        """
        announce: StageCallback = callback_on_stage or (lambda stage: None)
        guided = sampling.guidance_scale > 1.0
        copies = 2 if guided and not share_condition else 1
        shape = self.model.latent_shape(canvas)
        draws = _draw(generator, len(canvas), 2 * copies + sampling.samples, shape)
        if posterior_noise is None:
            posterior_noise = (torch.cat(draws[1 : 1 + copies]), torch.cat(draws[1 + copies : 1 + 2 * copies]))
        announce("encode")
        condition = self._encode(canvas, mask, posterior_noise, copies)
        announce("denoise")
        condition = torch.cat([half.repeat(sampling.samples, 1, 1, 1) for half in condition.chunk(copies)])
        latents = torch.cat([draws[0], *draws[1 + 2 * copies :]]) if latents is None else latents
        latents = self._denoise(latents, condition, sampling, callback_on_step_end)
        latents = latents.unflatten(0, (sampling.samples, -1)).mean(0)
        announce("decode")
        image = decode_latents(self.vae, latents) if region is None else decode_region(self.vae, latents, region)
        return image.float().clamp(-1.0, 1.0)

    def _denoise(self, latents: Tensor, condition: Tensor, sampling: Sampling, callback: StepCallback | None) -> Tensor:
        """``(B, C, h, w)`` noise to latents; condition ``(B, ...)``, or ``(2 B, ...)`` where halves have their own."""
        embeds, embeds_mask = self._prompt(len(latents), sampling.guidance_scale > 1.0)
        # On the CPU, where the schedulers keep their sigmas: none of a step's branches then waits for the GPU.
        self.scheduler.set_timesteps(sampling.steps, device="cpu")
        latents = latents.to(self._execution_device, self.model.dtype) * self.scheduler.init_noise_sigma
        for index, timestep in enumerate(self.progress_bar(self.scheduler.timesteps)):
            prediction = self.predict(latents, timestep, condition, embeds, sampling, embeds_mask)
            latents = self.scheduler.step(prediction, timestep, latents, return_dict=False)[0]
            if callback is not None:
                changed = callback(self, index, int(timestep), {"latents": latents})
                latents = (changed or {}).get("latents", latents)
        return latents

    def predict(
        self,
        latents: Tensor,
        timestep: Tensor,
        condition: Tensor,
        embeds: Tensor,
        sampling: Sampling,
        embeds_mask: Tensor | None = None,
    ) -> Tensor:
        """One (guided) prediction ``(B, C, h, w)``.

        Under guidance embeds and mask are ``(2 B, ...)``, [negative, positive]; so is the condition, or ``(B, ...)``
        where both halves share it.
        """
        guided = len(embeds) == 2 * len(latents)
        model_input = torch.cat([latents, latents]) if guided else latents
        model_input = self.scheduler.scale_model_input(model_input, timestep)
        scale = sampling.conditioning_scale
        prediction = self.model(model_input, timestep, condition, embeds, scale, embeds_mask)
        if not guided:
            return prediction
        negative, positive = prediction.chunk(2)
        return negative + sampling.guidance_scale * (positive - negative)

    def _encode(self, canvas: Tensor, mask: Tensor, noises: Sequence[Tensor], copies: int) -> Tensor:
        """The condition; of two copies under guidance as released, which doubles the canvas before encoding (3.1)."""
        device = self._execution_device
        mask = mask.to(device).expand(len(canvas), -1, -1, -1).repeat(copies, 1, 1, 1)
        canvas = canvas.to(device).repeat(copies, 1, 1, 1)
        first, second = noises[0].to(device), noises[-1].to(device)
        if len(first) != len(canvas) or len(second) != len(canvas):
            raise ValueError(
                f"posterior_noise: expected draws for {len(canvas)} encoded canvases (B; 2 B under guidance without "
                f"share_condition), got {len(first)} and {len(second)}"
            )
        return self.model.encode_condition(canvas, mask, (first, second))

    def _prompt(self, batch: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        """Embeddings and masks of the text, [negative, positive] under guidance."""
        device, model = self._execution_device, self.model
        parts = [model.negative_prompt_embeds, model.prompt_embeds] if guided else [model.prompt_embeds]
        embeds = torch.cat([part.to(device, self.model.dtype).expand(batch, -1, -1) for part in parts])
        masks = [model.negative_prompt_mask, model.prompt_mask] if guided else [model.prompt_mask]
        given = [mask.to(device).expand(batch, -1) for mask in masks if mask is not None]
        return embeds, torch.cat(given) if given else None


def _draw(
    generator: torch.Generator | Sequence[torch.Generator] | None, batch: int, count: int, shape: tuple[int, int, int]
) -> list[Tensor]:
    """``count`` standard normal tensors ``(B, *shape)``: one generator for all, or each canvas from its own."""
    if generator is None or isinstance(generator, torch.Generator):
        return [torch.randn((batch, *shape), generator=generator) for _ in range(count)]
    if len(generator) != batch:
        raise ValueError(f"generator: expected one, or one a canvas ({batch}), got {len(generator)}")
    return list(torch.stack([torch.randn((count, *shape), generator=source) for source in generator], dim=1))
