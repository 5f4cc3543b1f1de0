"""The frozen base: VAE, U-Net (or transformer), noise schedule and the embedding of one fixed prompt.

The text encoder is needed for two embeddings only (the prompt and the empty negative), so it is loaded,
asked once and dropped; folders that carry ``prompt_embeds.safetensors`` never load it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, ModelMixin
from huggingface_hub.errors import HFValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from colorflow.models.conditioning import latent_factor
from colorflow.models.denoiser import Denoiser
from colorflow.models.family import Family
from colorflow.utils.tensors import check_loaded

PROMPT = "manga"
"""The released pipeline's prompt (released code 3.4)."""

_EMBEDS = "prompt_embeds.safetensors"
_STORED = {
    "prompt": "prompt_embeds",
    "negative": "negative_prompt_embeds",
    "prompt_mask": "prompt_mask",
    "negative_mask": "negative_prompt_mask",
}
"""Name in the file: field of a base."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """A frozen base, whatever family.

    Attributes:
        family: What it is one of.
        vae: Autoencoder with a ``scaling_factor``.
        network: Base network, before LoRA.
        scheduler: Training noise schedule.
        prompt_embeds: ``(1, L, D)``, the prompt.
        negative_prompt_embeds: ``(1, L, D)``, the empty prompt of classifier-free guidance.
        prompt_mask: ``(1, L)``, 1 for tokens and 0 for padding; None where padding is attended to.
        negative_prompt_mask: The empty prompt's.
        source: Hub id or folder it came from, "random" for random weights.
        revision: Hub revision, if any.
        prompt: What ``prompt_embeds`` is the embedding of.
    """

    family: Family
    vae: AutoencoderKL
    network: ModelMixin
    scheduler: DDPMScheduler
    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor
    prompt_mask: Tensor | None = None
    negative_prompt_mask: Tensor | None = None
    source: str
    revision: str | None = None
    prompt: str = PROMPT

    @property
    def denoiser(self) -> Denoiser:
        """How it predicts."""
        return self.family.denoiser(latent_factor(self.vae))

    def to(self, dtype: torch.dtype) -> Base:
        """The same base, its networks kept in another precision."""
        return replace(self, vae=self.vae.to(dtype), network=self.network.to(dtype))


def load_base(
    family: Family, source: str, revision: str | None = None, prompt: str = PROMPT, dtype: torch.dtype = torch.float32
) -> Base:
    """Load a base in diffusers layout (``vae/``, ``unet/`` or ``transformer/``, ``scheduler/``, text or embeddings).

    Args:
        family: What lies there.
        source: Folder or hub id.
        revision: Hub revision.
        prompt: The fixed prompt; "" is allowed.
        dtype: Kept in memory as this; the frozen base may be bfloat16 on a GPU.

    Raises:
        FileNotFoundError: With the remedy, if folder, hub id or a part of it cannot be had.
        ValueError: If a tensor is missing, unexpected or of another shape, or the stored prompt is another.
    """
    part = family.denoiser.part
    try:
        vae, network = (
            load_strict(cls, source, subfolder=name, revision=revision, torch_dtype=dtype)
            for name, cls in {"vae": family.vae_class, part: family.denoiser.network_class}.items()
        )
        scheduler = DDPMScheduler.from_pretrained(source, subfolder="scheduler", revision=revision)
        embeds = _stored_embeds(Path(source) / _EMBEDS, prompt) or family.encode_prompt(source, revision, prompt)
    except (OSError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"base weights: expected a diffusers folder or hub id with vae/, {part}/ and scheduler/, got "
            f"{source!r} ({reason}); download it on a machine with a network and set weights=FOLDER, or use "
            "weights=random for a dry run"
        ) from error
    return Base(
        family=family,
        vae=vae,
        network=network,
        scheduler=scheduler,
        source=source,
        revision=revision,
        prompt=prompt,
        **embeds,
    )


def load_strict(cls: Any, source: str, **options: Any) -> Any:
    """``cls.from_pretrained``, but a missing or unexpected tensor is an error (diffusers fills and drops them).

    Raises:
        CheckpointError: Naming folder, counts and first keys.
    """
    model, found = cls.from_pretrained(source, output_loading_info=True, **options)
    check_loaded(model, found, f"{cls.__name__} weights in {source}", "fetch or export the folder again")
    return model


def random_base(family: Family, settings: Mapping[str, Any]) -> Base:
    """Build a base from its configuration alone, for dry runs, speed measurements and tests.

    Args:
        family: Whose classes.
        settings: Arguments of ``vae``, of the network under the family's name for it, and of ``scheduler``; ``tokens``,
            the length of the (random) prompt embedding; ``seed`` of weights and embeddings.

    Raises:
        ValueError: For other entries.
    """
    part = family.denoiser.part
    expected = {"vae", part, "scheduler", "tokens", "seed"}
    if settings.keys() != expected:
        raise ValueError(f"random base: expected the entries {sorted(expected)}, got {sorted(settings)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings["seed"])
        embeds = family.random_prompt(settings[part], settings["tokens"])
        vae, network = family.vae_class(**settings["vae"]), family.denoiser.network_class(**settings[part])
        if family.start is not None:
            family.start(network)
        return Base(
            family=family,
            vae=vae,
            network=network,
            scheduler=DDPMScheduler(**settings["scheduler"]),
            source="random",
            revision=None,
            prompt=PROMPT,
            **embeds,
        )


def save_base(base: Base, folder: Path) -> None:
    """Write a base in full, in the layout that `load_base` reads without a text encoder."""
    for name, network in (("vae", base.vae), (base.family.denoiser.part, base.network)):
        save_network(network, folder / name)
    base.scheduler.save_pretrained(folder / "scheduler")
    fields = {name: getattr(base, field) for name, field in _STORED.items()}
    tensors = {name: value.cpu().clone() for name, value in fields.items() if value is not None}
    save_file(tensors, folder / _EMBEDS, metadata={"prompt": base.prompt})


def save_network(network: ModelMixin, folder: Path) -> None:
    """``save_pretrained`` without what diffusers notes of where it was loaded from: a path of this machine."""
    network.register_to_config(_name_or_path="")
    network.save_pretrained(folder)


def check_vocabulary(tokens: int, expected: int, unused: int = 0) -> None:
    """Refuse the empty tokenizer that transformers 5 makes of nothing: every word would become the same token.

    Args:
        tokens: Of the tokenizer.
        expected: Of the text encoder.
        unused: How many of these may have no token.

    Raises:
        FileNotFoundError: If the tokenizer is of another size.
    """
    if not expected - unused <= tokens <= expected:
        raise FileNotFoundError(
            f"tokenizer/ has {tokens} tokens, the text encoder {expected}; its vocabulary is missing or another's"
        )


def _stored_embeds(file: Path, prompt: str) -> dict[str, Tensor] | None:
    """Embeddings that `save_base` wrote, if they are there and of this prompt (the empty one always is)."""
    if not file.is_file():
        return None
    with safe_open(file, "pt") as tensors:
        stored = (tensors.metadata() or {}).get("prompt")
        found = {_STORED[name]: tensors.get_tensor(name).float() for name in tensors.keys()}  # noqa: SIM118 (not a dict)
    if prompt and prompt != stored:
        raise ValueError(
            f"{file}: expected the embedding of the prompt {prompt!r}, got that of {stored!r}; set the prompt to "
            "that, or use a folder with tokenizer/ and text_encoder/"
        )
    if not prompt:
        found |= {name.removeprefix("negative_"): value for name, value in found.items() if "negative_" in name}
    return found
