"""What a family of base models consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from diffusers import AutoencoderKL
from torch import Tensor

from colorflow.models.denoiser import Denoiser
from colorflow.models.layout import Layout


@dataclass(frozen=True)
class Family:
    """One family; its module (a folder beside this file, or one of another package) holds it as ``FAMILY``.

    The two functions give fields of `colorflow.models.base.Base` by name: ``prompt_embeds`` and
    ``negative_prompt_embeds`` ``(1, L, D)``, and where padding is masked ``prompt_mask`` and ``negative_prompt_mask``.

    Attributes:
        name: What configurations and exports call it: the folder's name, or the module's with dots.
        denoiser: How it predicts, with the classes of its network and guider.
        encode_prompt: Asks the text encoder of a base (source, revision) for those of a prompt.
        random_prompt: Draws some that fit a network's configuration and have so many tokens.
        layout: Its released files; None where there are none.
        vae_class: Its autoencoder.
        start: What is done to a network with random weights before it is trained; None leaves it as drawn.
    """

    name: str
    denoiser: type[Denoiser]
    encode_prompt: Callable[[str, str | None, str], dict[str, Tensor]]
    random_prompt: Callable[[Mapping[str, Any], int], dict[str, Tensor]]
    layout: Layout | None = None
    vae_class: Any = AutoencoderKL
    start: Callable[[Any], None] | None = None
