"""The embedding of the one fixed prompt that Stable Diffusion v1.5 is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from colorflow.models.base import check_vocabulary


def encode_prompt(source: str, revision: str | None, prompt: str) -> dict[str, Tensor]:
    """CLIP's embeddings ``(1, 77, 768)``; see `Family`."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", revision=revision)
    encoder = CLIPTextModel.from_pretrained(source, subfolder="text_encoder", revision=revision).eval()
    check_vocabulary(len(tokenizer), encoder.config.vocab_size)
    length = tokenizer.model_max_length
    tokens = tokenizer([prompt, ""], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        embeds = encoder(tokens.input_ids)[0].float()
    return {"prompt_embeds": embeds[:1], "negative_prompt_embeds": embeds[1:]}


def random_prompt(unet: Mapping[str, Any], tokens: int) -> dict[str, Tensor]:
    """Embeddings that fit a U-Net of that configuration; see `Family`."""
    embeds = torch.randn(2, 1, tokens, unet["cross_attention_dim"], device="cpu")
    return {"prompt_embeds": embeds[0], "negative_prompt_embeds": embeds[1]}
