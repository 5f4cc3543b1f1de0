"""The frozen base: VAE, U-Net, noise schedule and the embedding of one fixed prompt.

The text encoder is needed for two embeddings only (the prompt and the empty negative), so it is loaded,
asked once and dropped; folders that carry ``prompt_embeds.safetensors`` never load it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from huggingface_hub.errors import HFValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

PROMPT = "manga"
"""The released pipeline's prompt (released code 3.4)."""

_EMBEDS = "prompt_embeds.safetensors"


@dataclass(frozen=True)
class BaseModel:
    """A frozen base, whatever family.

    Attributes:
        vae: Autoencoder with a ``scaling_factor``.
        unet: Base U-Net, before LoRA.
        scheduler: Training noise schedule.
        prompt_embeds: ``(1, L, D)``, the prompt.
        negative_prompt_embeds: ``(1, L, D)``, the empty prompt of classifier-free guidance.
        source: Hub id or folder it came from, "random" for random weights.
        revision: Hub revision, if any.
        prompt: What ``prompt_embeds`` is the embedding of.
    """

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    scheduler: DDPMScheduler
    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor
    source: str
    revision: str | None = None
    prompt: str = PROMPT


def load_base(
    source: str, revision: str | None = None, prompt: str = PROMPT, dtype: torch.dtype = torch.float32
) -> BaseModel:
    """Load a base in diffusers layout (``vae/``, ``unet/``, ``scheduler/``, text side or prompt embeddings).

    Args:
        source: Folder or hub id.
        revision: Hub revision.
        prompt: The fixed prompt; "" is allowed.
        dtype: Kept in memory as this; the frozen base may be bfloat16 on a GPU.

    Raises:
        FileNotFoundError: With the remedy, if folder, hub id or a part of it cannot be had.
        ValueError: If a tensor is missing, unexpected or of another shape, or the stored prompt is another.
    """
    try:
        parts = {
            name: load_strict(cls, source, subfolder=name, revision=revision, torch_dtype=dtype)
            for name, cls in {"vae": AutoencoderKL, "unet": UNet2DConditionModel}.items()
        }
        scheduler = DDPMScheduler.from_pretrained(source, subfolder="scheduler", revision=revision)
        embeds = _stored_embeds(Path(source) / _EMBEDS, prompt) or _encoded_embeds(source, revision, prompt)
    except (OSError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"base weights: expected a diffusers folder or hub id with vae/, unet/ and scheduler/, got {source!r} "
            f"({reason}); download it on a machine with a network and set weights=FOLDER, or use weights=random for a "
            "dry run"
        ) from error
    return BaseModel(**parts, scheduler=scheduler, source=source, revision=revision, prompt=prompt, **embeds)


def load_strict(cls: Any, source: str, **options: Any) -> Any:
    """``cls.from_pretrained``, but a missing or unexpected tensor is an error (diffusers fills and drops them).

    Raises:
        ValueError: Naming folder, count and first key.
    """
    model, found = cls.from_pretrained(source, output_loading_info=True, **options)
    missing, unexpected = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    if missing or unexpected:
        raise ValueError(
            f"{cls.__name__} weights in {source}: expected exactly the tensors of its config.json, got {len(missing)} "
            f"missing (first: {missing[:1]}) and {len(unexpected)} unexpected (first: {unexpected[:1]}); "
            "fetch or export the folder again"
        )
    return model


def random_base(
    vae: Mapping[str, Any], unet: Mapping[str, Any], scheduler: Mapping[str, Any], tokens: int = 77, seed: int = 0
) -> BaseModel:
    """Build a base from its configuration alone, for dry runs, speed measurements and tests.

    Args:
        vae: Arguments of ``AutoencoderKL``.
        unet: Arguments of ``UNet2DConditionModel``.
        scheduler: Arguments of ``DDPMScheduler``.
        tokens: Length of the (random) prompt embedding.
        seed: Of weights and embeddings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embeds = torch.randn(2, 1, tokens, unet["cross_attention_dim"], device="cpu")
        return BaseModel(
            vae=AutoencoderKL(**vae),
            unet=UNet2DConditionModel(**unet),
            scheduler=DDPMScheduler(**scheduler),
            prompt_embeds=embeds[0],
            negative_prompt_embeds=embeds[1],
            source="random",
        )


def save_base(base: BaseModel, folder: Path) -> None:
    """Write a base in full, in the layout that `load_base` reads without a text encoder."""
    for name, network in (("vae", base.vae), ("unet", base.unet)):
        network.register_to_config(_name_or_path="")  # diffusers notes where it was loaded from: a path of this machine
        network.save_pretrained(folder / name)
    base.scheduler.save_pretrained(folder / "scheduler")
    save_file(
        {"prompt": base.prompt_embeds.clone(), "negative": base.negative_prompt_embeds.clone()},
        folder / _EMBEDS,
        metadata={"prompt": base.prompt},
    )


def _stored_embeds(file: Path, prompt: str) -> dict[str, Tensor] | None:
    """Embeddings that `save_base` wrote, if they are there and of this prompt (the empty one always is)."""
    if not file.is_file():
        return None
    with safe_open(file, "pt") as tensors:
        stored, negative = (tensors.metadata() or {}).get("prompt"), tensors.get_tensor("negative").float()
        if prompt and prompt != stored:
            raise ValueError(
                f"{file}: expected the embedding of the prompt {prompt!r}, got that of {stored!r}; set the prompt to "
                "that, or use a folder with tokenizer/ and text_encoder/"
            )
        embeds = tensors.get_tensor("prompt").float() if prompt else negative
    return {"prompt_embeds": embeds, "negative_prompt_embeds": negative}


def _encoded_embeds(source: str, revision: str | None, prompt: str) -> dict[str, Tensor]:
    """Ask the text encoder once; it is let go of with this call."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", revision=revision)
    encoder = CLIPTextModel.from_pretrained(source, subfolder="text_encoder", revision=revision).eval()
    if len(tokenizer) != encoder.config.vocab_size:  # transformers 5 makes an empty tokenizer of nothing
        raise FileNotFoundError(
            f"tokenizer/ has {len(tokenizer)} tokens, the text encoder {encoder.config.vocab_size}; its vocabulary is "
            "missing or another's"
        )
    tokens = tokenizer(
        [prompt, ""], padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        embeds = encoder(tokens.input_ids)[0].float()
    return {"prompt_embeds": embeds[:1], "negative_prompt_embeds": embeds[1:]}
