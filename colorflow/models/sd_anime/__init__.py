"""Anime checkpoints of Stable Diffusion v1.x: the same networks, trained on CLIP's last layer but one."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from colorflow.models.base import check_vocabulary
from colorflow.models.sd import FAMILY as SD


def encode_prompt(source: str, revision: str | None, prompt: str) -> dict[str, Tensor]:
    """Embeddings ``(1, 77, 768)`` of the layer before CLIP's last, normalized as the last; see `Family`."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", revision=revision)
    encoder = CLIPTextModel.from_pretrained(source, subfolder="text_encoder", revision=revision).eval()
    check_vocabulary(len(tokenizer), encoder.config.vocab_size)
    length = tokenizer.model_max_length
    tokens = tokenizer([prompt, ""], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder(tokens.input_ids, output_hidden_states=True).hidden_states[-2]
        embeds = encoder.text_model.final_layer_norm(hidden).float()
    return {"prompt_embeds": embeds[:1], "negative_prompt_embeds": embeds[1:]}


FAMILY = replace(SD, name="sd_anime", encode_prompt=encode_prompt, layout=None)
