"""What differs between model families when a canvas is denoised, behind one small interface.

A denoiser holds no weights: the base network and the guider stay where they are trained, saved and moved, and
are passed in. Model, pipeline and export know this interface alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers import ModelMixin
from diffusers.schedulers import SchedulerMixin
from torch import Tensor


@dataclass(frozen=True)
class Denoiser(ABC):
    """How one family predicts from noisy latents, timesteps and condition.

    Attributes:
        factor: Image pixels a latent pixel, per side.
        part: Name of the base network: of its folder, attribute and configuration entry.
        network_class: Its class.
        guider_class: The guider that fits it.
        solver: Inference scheduler, as released.
    """

    factor: int
    part: ClassVar[str]
    network_class: ClassVar[Any]
    guider_class: ClassVar[Any]
    solver: ClassVar[Any]

    @abstractmethod
    def new_guider(self, network: ModelMixin, conditioning_channels: int) -> ModelMixin:
        """A guider to train, copied from the base network before LoRA is added."""

    @abstractmethod
    def predict(
        self,
        network: ModelMixin,
        guider: ModelMixin | None,
        noisy_latents: Tensor,
        timesteps: Tensor,
        condition: Tensor | None,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        conditioning_scale: float = 1.0,
    ) -> Tensor:
        """Epsilon or v, as the base was trained.

        Args:
            network: Base network, LoRA injected or merged.
            guider: Of ``guider_class``; None asks the base network alone.
            noisy_latents: ``(B, C, h, w)``.
            timesteps: ``(B,)`` or scalar integers in [0, 1000).
            condition: ``(B, conditioning_channels, h, w)``; or of B / n for n copies of the same latents under other
                texts (guidance), for which the guider, blind to text, then runs once. None without a guider.
            encoder_hidden_states: ``(B, L, D)``.
            encoder_attention_mask: ``(B, L)``, 1 for tokens and 0 for padding; None where all are attended to.
            conditioning_scale: Factor on what the guider adds.

        Returns:
            ``(B, C, h, w)``.
        """

    def inference_scheduler(self, config: Any) -> SchedulerMixin:
        """The family's solver on the noise schedule of a (DDPM) configuration."""
        # Named, as a saved DDPM configuration states its own default, "leading", and would hand it on (released: 3.4).
        return self.solver.from_config(config, timestep_spacing="linspace")


def guide(
    guider: ModelMixin | None, noisy_latents: Tensor, timesteps: Tensor, condition: Tensor | None, *others: Any
) -> Sequence[Tensor]:
    """What the guider adds to a batch, if there is one; once for all where the batch is n copies of the condition's."""
    if guider is None or condition is None:
        return ()
    count = len(condition)
    copies = len(noisy_latents) // count
    timesteps = timesteps if timesteps.ndim == 0 else timesteps[:count]
    added: Sequence[Tensor] = guider(noisy_latents[:count], timesteps, condition, *others)
    return added if copies == 1 else [item.repeat(copies, *[1] * (item.ndim - 1)) for item in added]


def start_as_copy(guider: ModelMixin, base: ModelMixin, taps: str, layers: tuple[str, str], kept: int = 0) -> None:
    """Fill a new guider with the tensors of the base network, so that untrained it changes nothing (released code 3.6).

    The input layer serves both the noisy latents and the first condition latents; its other channels start at zero.

    Args:
        guider: Its output layers are zero.
        base: Before LoRA layers are injected.
        taps: What the names of the output layers begin with, which the base does not have.
        layers: Names of the input layer in the guider and in the base.
        kept: Last channels of the guider's input layer that stay as they were drawn.

    Raises:
        ValueError: If the base has LoRA layers or lacks a tensor that the guider needs.
    """
    own, source, (inner, outer) = guider.state_dict(), base.state_dict(), layers
    shared = [key for key in own if not key.startswith((taps, f"{inner}."))]
    if absent := [key for key in shared if key not in source]:
        raise ValueError(
            f"the guider is a copy of the base network, but {len(absent)} of its {len(shared)} tensors are not there "
            f"(first: {absent[0]}); build the guider before LoRA layers are injected"
        )
    given, drawn = source[f"{outer}.weight"], own[f"{inner}.weight"]
    weight, channels = torch.zeros_like(drawn), given.shape[1]
    weight[:, :channels] = weight[:, channels : 2 * channels] = given
    weight[:, weight.shape[1] - kept :] = drawn[:, weight.shape[1] - kept :]
    inputs = {f"{inner}.weight": weight, f"{inner}.bias": source[f"{outer}.bias"]}
    guider.load_state_dict(own | {key: source[key] for key in shared} | inputs)
