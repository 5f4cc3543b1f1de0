"""The frozen base: VAE, U-Net (or transformer), noise schedule and the embedding of one fixed prompt.

The text encoder is needed for two embeddings only (the prompt and the empty negative), so it is loaded,
asked once and dropped; folders that carry ``prompt_embeds.safetensors`` never load it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from huggingface_hub.errors import HFValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from colorflow.models.conditioning import latent_factor
from colorflow.models.denoiser import Denoiser, SDDenoiser
from colorflow.models.toon.codec import PatchCodec
from colorflow.models.toon.start import start_mimetic

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
    """A frozen base, whatever family; a subclass adds its network and how that denoises.

    Attributes:
        vae: Autoencoder with a ``scaling_factor``.
        scheduler: Training noise schedule.
        prompt_embeds: ``(1, L, D)``, the prompt.
        negative_prompt_embeds: ``(1, L, D)``, the empty prompt of classifier-free guidance.
        prompt_mask: ``(1, L)``, 1 for tokens and 0 for padding; None where padding is attended to.
        negative_prompt_mask: The empty prompt's.
        source: Hub id or folder it came from, "random" for random weights.
        revision: Hub revision, if any.
        prompt: What ``prompt_embeds`` is the embedding of.
    """

    vae: AutoencoderKL
    scheduler: DDPMScheduler
    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor
    prompt_mask: Tensor | None = None
    negative_prompt_mask: Tensor | None = None
    source: str
    revision: str | None = None
    prompt: str = PROMPT
    denoiser_class: ClassVar[type[Denoiser]]

    @property
    def denoiser(self) -> Denoiser:
        """How this family predicts."""
        return self.denoiser_class(latent_factor(self.vae))

    @property
    def network(self) -> Any:
        """The base network: ``unet`` or ``transformer``."""
        return getattr(self, self.denoiser_class.part)

    def to(self, dtype: torch.dtype) -> Self:
        """The same base, its networks kept in another precision."""
        part = self.denoiser_class.part
        return replace(self, vae=self.vae.to(dtype), **{part: self.network.to(dtype)})

    @staticmethod
    def encode_prompt(source: str, revision: str | None, prompt: str) -> dict[str, Tensor]:
        """Ask the family's text encoder for the fields of prompt and empty prompt; it is let go of with this call."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class BaseModel(Base):
    """A base with a U-Net: Stable Diffusion v1.5, toon.

    Attributes:
        unet: Base U-Net, before LoRA.
    """

    unet: UNet2DConditionModel
    denoiser_class = SDDenoiser

    @staticmethod
    def encode_prompt(source: str, revision: str | None, prompt: str) -> dict[str, Tensor]:
        """CLIP's embeddings ``(1, 77, 768)``."""
        from transformers import CLIPTextModel, CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", revision=revision)
        encoder = CLIPTextModel.from_pretrained(source, subfolder="text_encoder", revision=revision).eval()
        check_vocabulary(len(tokenizer), encoder.config.vocab_size)
        length = tokenizer.model_max_length
        tokens = tokenizer([prompt, ""], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        with torch.no_grad():
            embeds = encoder(tokens.input_ids)[0].float()
        return {"prompt_embeds": embeds[:1], "negative_prompt_embeds": embeds[1:]}


BaseT = TypeVar("BaseT", bound=Base)


def load_base(
    source: str,
    revision: str | None = None,
    prompt: str = PROMPT,
    dtype: torch.dtype = torch.float32,
    kind: type[BaseT] = BaseModel,  # type: ignore[assignment]  # mypy: a type variable cannot have a default
) -> BaseT:
    """Load a base in diffusers layout (``vae/``, ``unet/`` or ``transformer/``, ``scheduler/``, text or embeddings).

    Args:
        source: Folder or hub id.
        revision: Hub revision.
        prompt: The fixed prompt; "" is allowed.
        dtype: Kept in memory as this; the frozen base may be bfloat16 on a GPU.
        kind: Family.

    Raises:
        FileNotFoundError: With the remedy, if folder, hub id or a part of it cannot be had.
        ValueError: If a tensor is missing, unexpected or of another shape, or the stored prompt is another.
    """
    network = kind.denoiser_class
    try:
        parts = {
            name: load_strict(cls, source, subfolder=name, revision=revision, torch_dtype=dtype)
            for name, cls in {"vae": _codec_class(source), network.part: network.network_class}.items()
        }
        scheduler = DDPMScheduler.from_pretrained(source, subfolder="scheduler", revision=revision)
        embeds = _stored_embeds(Path(source) / _EMBEDS, prompt) or kind.encode_prompt(source, revision, prompt)
    except (OSError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"base weights: expected a diffusers folder or hub id with vae/, {network.part}/ and scheduler/, got "
            f"{source!r} ({reason}); download it on a machine with a network and set weights=FOLDER, or use "
            "weights=random for a dry run"
        ) from error
    return kind(**parts, scheduler=scheduler, source=source, revision=revision, prompt=prompt, **embeds)


def _codec_class(source: str) -> Any:
    """The class that a folder's ``vae/config.json`` names: a `PatchCodec`, else ``AutoencoderKL``."""
    config = Path(source) / "vae" / "config.json"
    named = json.loads(config.read_text()).get("_class_name") if config.is_file() else None
    return PatchCodec if named == PatchCodec.__name__ else AutoencoderKL


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
    vae: Mapping[str, Any],
    unet: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    tokens: int = 77,
    seed: int = 0,
    codec: Mapping[str, Any] | None = None,
    mimetic: bool = False,
) -> BaseModel:
    """Build a base from its configuration alone, for dry runs, speed measurements and tests.

    Args:
        vae: Arguments of ``AutoencoderKL``; not looked at where there is a codec.
        unet: Arguments of ``UNet2DConditionModel``.
        scheduler: Arguments of ``DDPMScheduler``.
        tokens: Length of the (random) prompt embedding.
        seed: Of weights and embeddings.
        codec: Arguments of `PatchCodec`, in place of the VAE.
        mimetic: Start the U-Net as `colorflow.models.toon.start` does.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embeds = torch.randn(2, 1, tokens, unet["cross_attention_dim"], device="cpu")
        network = UNet2DConditionModel(**unet)
        if mimetic:
            start_mimetic(network)
        return BaseModel(
            vae=AutoencoderKL(**vae) if codec is None else PatchCodec(**codec),
            unet=network,
            scheduler=DDPMScheduler(**scheduler),
            prompt_embeds=embeds[0],
            negative_prompt_embeds=embeds[1],
            source="random",
        )


def save_base(base: Base, folder: Path) -> None:
    """Write a base in full, in the layout that `load_base` reads without a text encoder."""
    for name, network in (("vae", base.vae), (base.denoiser.part, base.network)):
        network.register_to_config(_name_or_path="")  # diffusers notes where it was loaded from: a path of this machine
        network.save_pretrained(folder / name)
    base.scheduler.save_pretrained(folder / "scheduler")
    fields = {name: getattr(base, field) for name, field in _STORED.items()}
    tensors = {name: value.cpu().clone() for name, value in fields.items() if value is not None}
    save_file(tensors, folder / _EMBEDS, metadata={"prompt": base.prompt})


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
