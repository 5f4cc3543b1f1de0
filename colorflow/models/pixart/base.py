"""The frozen base of the PixArt-alpha family: VAE, transformer, noise schedule, T5's embedding of one fixed prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, PixArtTransformer2DModel
from torch import Tensor

from colorflow.models.base import Base, check_vocabulary
from colorflow.models.denoiser import PixArtDenoiser

TOKENS = 120
"""Length that prompts are padded to (released code 4)."""


@dataclass(frozen=True, kw_only=True)
class PixArtBase(Base):
    """A base with a transformer; padding tokens of its prompts are masked.

    Attributes:
        transformer: Base transformer, before LoRA.
    """

    transformer: PixArtTransformer2DModel
    denoiser_class = PixArtDenoiser

    @staticmethod
    def encode_prompt(source: str, revision: str | None, prompt: str) -> dict[str, Tensor]:
        """T5's embeddings ``(1, 120, 4096)`` and masks ``(1, 120)``.

        Lower case without outer spaces is all that the released caption cleaning does to a prompt like "manga".
        """
        from transformers import AutoTokenizer, T5EncoderModel

        tokenizer = AutoTokenizer.from_pretrained(source, subfolder="tokenizer", revision=revision)
        encoder = T5EncoderModel.from_pretrained(source, subfolder="text_encoder", revision=revision).eval()
        check_vocabulary(len(tokenizer), encoder.config.vocab_size, unused=128)  # T5's 32,100 tokens stand in 32,128
        words = [prompt.lower().strip(), ""]
        tokens = tokenizer(words, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
        with torch.no_grad():
            embeds = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0].float()
        mask = tokens.attention_mask.float()
        return {
            "prompt_embeds": embeds[:1],
            "negative_prompt_embeds": embeds[1:],
            "prompt_mask": mask[:1],
            "negative_prompt_mask": mask[1:],
        }


def random_pixart_base(
    vae: Mapping[str, Any],
    transformer: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    tokens: int = TOKENS,
    seed: int = 0,
) -> PixArtBase:
    """Build a base from its configuration alone, for dry runs, speed measurements and tests.

    Args:
        vae: Arguments of ``AutoencoderKL``.
        transformer: Arguments of ``PixArtTransformer2DModel``.
        scheduler: Arguments of ``DDPMScheduler``.
        tokens: Length of the (random) prompt embeddings; half of it is padding, less for the empty prompt.
        seed: Of weights and embeddings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embeds = torch.randn(2, 1, tokens, transformer["caption_channels"], device="cpu")
        places = torch.arange(tokens, device="cpu")[None]
        return PixArtBase(
            vae=AutoencoderKL(**vae),
            transformer=PixArtTransformer2DModel(**transformer),
            scheduler=DDPMScheduler(**scheduler),
            prompt_embeds=embeds[0],
            negative_prompt_embeds=embeds[1],
            prompt_mask=(places < max(tokens // 2, 1)).float(),
            negative_prompt_mask=(places < 1).float(),
            source="random",
        )
