"""The embedding of the one fixed prompt that PixArt-alpha is given; its padding is masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from colorflow.models.base import check_vocabulary

TOKENS = 120
"""Length that prompts are padded to (released code 4)."""


def encode_prompt(source: str, revision: str | None, prompt: str) -> dict[str, Tensor]:
    """T5's embeddings ``(1, 120, 4096)`` and masks ``(1, 120)``; see `Family`.

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
    return _fields(embeds[:, None], tokens.attention_mask.float()[:, None])


def random_prompt(transformer: Mapping[str, Any], tokens: int) -> dict[str, Tensor]:
    """Embeddings that fit a transformer of that configuration; half is padding, all but one of the empty prompt's."""
    embeds = torch.randn(2, 1, tokens, transformer["caption_channels"], device="cpu")
    places = torch.arange(tokens, device="cpu")[None]
    return _fields(embeds, [(places < max(tokens // 2, 1)).float(), (places < 1).float()])


def _fields(embeds: Tensor, masks: Sequence[Tensor] | Tensor) -> dict[str, Tensor]:
    """Fields of prompt and empty prompt."""
    return {
        "prompt_embeds": embeds[0],
        "negative_prompt_embeds": embeds[1],
        "prompt_mask": masks[0],
        "negative_prompt_mask": masks[1],
    }
