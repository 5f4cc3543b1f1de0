"""One explicit walk through the blocks of diffusers' ``PixArtTransformer2DModel``.

As in `colorflow.models.sd.trunk`: the guider's tokens are read after every block, and added to the base's at the same
points (released code 4); both sides are this walk with a different ``visit``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import ModelMixin, PixArtTransformer2DModel
from torch import Tensor

Visit = Callable[[Tensor], Tensor]

_MASKED = -10000.0
"""What is added to attention scores of padding tokens (released code 4)."""


def run_blocks(
    net: ModelMixin,
    hidden: Tensor,
    modulation: Tensor,
    context: Tensor | None,
    context_bias: Tensor | None,
    visit: Visit,
) -> Tensor:
    """Run every block, passing the tokens through ``visit`` after each.

    Args:
        net: Has ``transformer_blocks`` of diffusers' class and ``gradient_checkpointing``.
        hidden: ``(B, N, D)`` tokens.
        modulation: ``(B, 6 D)`` of the timestep (adaLN-single).
        context: ``(B, L, D)`` projected text, or None for blocks without cross-attention.
        context_bias: ``(B, 1, L)`` added to the cross-attention's scores, or None.
        visit: Gets the tokens after each block in order and returns what the walk goes on with.

    Returns:
        ``(B, N, D)``.
    """
    others: Any = {"encoder_hidden_states": context, "encoder_attention_mask": context_bias, "timestep": modulation}
    for block in net.transformer_blocks:
        if net.gradient_checkpointing and torch.is_grad_enabled():
            hidden = visit(torch.utils.checkpoint.checkpoint(block, hidden, use_reentrant=False, **others))
        else:
            hidden = visit(block(hidden, **others))
    return hidden


def embed_timesteps(net: ModelMixin, timesteps: Tensor, tokens: Tensor, image_size: Tensor) -> tuple[Tensor, Tensor]:
    """The blocks' modulation ``(B, 6 D)`` and the embedding ``(B, D)`` it is made of.

    Args:
        net: Has ``adaln_single``; where that has no ``use_additional_conditions`` the image size is unused.
        timesteps: ``(B,)`` or scalar integers.
        tokens: ``(B, N, D)``, for batch, device and dtype.
        image_size: ``(2,)`` or ``(B, 2)`` float: height and width in pixels. Height first, and height over width: the
            orientation shows on pages that are not square.
    """
    batch = tokens.shape[0]
    size = image_size.to(tokens.device, torch.float32).expand(batch, 2)
    conditions = {"resolution": size, "aspect_ratio": size[:, :1] / size[:, 1:]}
    steps = timesteps.to(tokens.device).expand(batch)
    modulation, embedding = net.adaln_single(steps, conditions, batch_size=batch, hidden_dtype=tokens.dtype)
    return modulation, embedding


def transformer_with_control(
    transformer: PixArtTransformer2DModel,
    noisy_latents: Tensor,
    timesteps: Tensor,
    encoder_hidden_states: Tensor,
    encoder_attention_mask: Tensor | None,
    image_size: Tensor,
    control: Sequence[Tensor] = (),
) -> Tensor:
    """The base transformer's answer with control tokens added after its first blocks.

    Args:
        transformer: A stock transformer (LoRA layers may be injected).
        noisy_latents: ``(B, C, h, w)``, sides multiples of the patch size.
        timesteps: ``(B,)`` or scalar, integers in [0, 1000).
        encoder_hidden_states: ``(B, L, D)`` text embedding.
        encoder_attention_mask: ``(B, L)``, 1 for tokens and 0 for padding; None attends to all.
        image_size: See `embed_timesteps`.
        control: ``(B, N, D)`` each, added after block 0, 1, ...; blocks beyond the last stay as they are.

    Returns:
        ``(B, out_channels, h, w)``: epsilon, then the learned variance (8 channels as released).
    """
    blocks = len(transformer.transformer_blocks)
    if len(control) > blocks:
        raise ValueError(f"this transformer has {blocks} blocks, got {len(control)} control tensors")
    hidden = embed_patches(transformer, noisy_latents)
    modulation, embedding = embed_timesteps(transformer, timesteps, hidden, image_size)
    context = encoder_hidden_states
    if transformer.caption_projection is not None:
        context = transformer.caption_projection(context)
    bias = None
    if encoder_attention_mask is not None:
        bias = (1 - encoder_attention_mask.to(hidden)).unsqueeze(1) * _MASKED
    remaining = iter([*control, *[None] * (blocks - len(control))])

    def visit(tokens: Tensor) -> Tensor:
        added = next(remaining)
        return tokens if added is None else tokens + added

    hidden = run_blocks(transformer, hidden, modulation, context, bias, visit)
    return _to_image(transformer, hidden, embedding, noisy_latents.shape[-2:])


def embed_patches(net: ModelMixin, latents: Tensor) -> Tensor:
    """``(B, N, D)`` tokens with their position embedding, row by row, of ``(B, C, h, w)`` latents."""
    height, width = latents.shape[-2:]
    patch = net.config.patch_size
    if height % patch or width % patch:
        raise ValueError(
            f"latent sides must be multiples of the patch size {patch}, got {width} x {height}; choose a page size "
            "whose doubled sides are multiples of 16"
        )
    return net.pos_embed(latents)


def _to_image(net: PixArtTransformer2DModel, hidden: Tensor, embedding: Tensor, size: Sequence[int]) -> Tensor:
    """The output head: modulated norm, projection, and tokens back to ``(B, C, h, w)``."""
    shift, scale = (net.scale_shift_table[None] + embedding[:, None]).chunk(2, dim=1)
    patches = net.proj_out(net.norm_out(hidden) * (1 + scale) + shift)
    side = net.config.patch_size
    height, width = size[0] // side, size[1] // side
    grid = patches.unflatten(1, (height, width)).unflatten(-1, (side, side, -1))  # B, rows, columns, y, x, channels
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
