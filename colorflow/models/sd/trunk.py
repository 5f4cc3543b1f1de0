"""One explicit walk through the blocks of diffusers' ``UNet2DConditionModel``.

The guider's features are read, and added to the base's, at the same points: input convolution, every resnet (with its
attention), every down- and upsampler, middle block. Both sides are this walk with a different ``visit``: no fork, no
hooks, nothing that ``torch.compile`` has to break its graph for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from diffusers import ModelMixin, UNet2DConditionModel
from torch import Tensor, nn

Visit = Callable[[Tensor], Tensor]


def run_trunk(net: ModelMixin, hidden: Tensor, temb: Tensor, context: Tensor | None, visit: Visit) -> Tensor:
    """Run down, middle and up blocks, passing the hidden state through ``visit`` at every tap point.

    Args:
        net: Has ``down_blocks``, ``mid_block`` and ``up_blocks`` of diffusers' U-Net classes.
        hidden: ``(B, C, h, w)``, the output of the input convolution.
        temb: ``(B, D)`` time embedding.
        context: ``(B, L, D)`` text embedding, or None for blocks without cross-attention.
        visit: Gets each tapped feature in order and returns what the walk goes on with.

    Returns:
        ``(B, C, h, w)``, the input of the output convolution.
    """
    # The skip of the input convolution is stored before its visit, all others after
    # (spec: released code 3.3; fixture b_sd_* tells the two apart).
    skips = [hidden]
    hidden = visit(hidden)
    for block in net.down_blocks:
        for layer in _layers(block):
            hidden = visit(_run(block, layer, hidden, temb, context))
            skips.append(hidden)
        for sampler in block.downsamplers or ():
            hidden = visit(sampler(hidden))
            skips.append(hidden)
    hidden = visit(net.mid_block(hidden, temb, encoder_hidden_states=context))
    for block in net.up_blocks:
        for layer in _layers(block):
            hidden = visit(_run(block, layer, torch.cat([hidden, skips.pop()], dim=1), temb, context))
        for sampler in block.upsamplers or ():
            hidden = visit(sampler(hidden, skips[-1].shape[-2:]))
    return hidden


def tap_widths(net: ModelMixin, input_width: int) -> tuple[list[int], int, list[int]]:
    """Channels at every tap point, in order: (input convolution and down blocks, middle, up blocks)."""
    down = [
        module.out_channels for block in net.down_blocks for module in (*block.resnets, *(block.downsamplers or ()))
    ]
    up = [module.out_channels for block in net.up_blocks for module in (*block.resnets, *(block.upsamplers or ()))]
    return [input_width, *down], net.mid_block.resnets[-1].out_channels, up


def embed_timesteps(net: ModelMixin, timesteps: Tensor, sample: Tensor) -> Tensor:
    """Time embedding ``(B, D)`` of integer timesteps, ``(B,)`` or scalar, in the sample's dtype."""
    timesteps = timesteps.to(sample.device).expand(sample.shape[0])
    return net.time_embedding(net.time_proj(timesteps).to(sample.dtype))


def unet_with_residuals(
    unet: UNet2DConditionModel,
    noisy_latents: Tensor,
    timesteps: Tensor,
    encoder_hidden_states: Tensor,
    residuals: Sequence[Tensor] | None = None,
) -> Tensor:
    """The base U-Net's prediction with one residual added at every tap point.

    Args:
        unet: A stock U-Net (LoRA layers may be injected).
        noisy_latents: ``(B, 4, h, w)``.
        timesteps: ``(B,)`` or scalar, integers in [0, 1000).
        encoder_hidden_states: ``(B, L, D)``.
        residuals: One tensor a tap point, in the order of `run_trunk`; None adds nothing.

    Returns:
        ``(B, 4, h, w)``: epsilon or v, as the U-Net was trained.
    """
    down, _, up = tap_widths(unet, unet.conv_in.out_channels)
    expected = len(down) + 1 + len(up)
    if residuals is not None and len(residuals) != expected:
        raise ValueError(f"this U-Net has {expected} tap points, got {len(residuals)} residuals")
    remaining = iter(residuals) if residuals is not None else None
    visit: Visit = (lambda hidden: hidden) if remaining is None else (lambda hidden: hidden + next(remaining))
    temb = embed_timesteps(unet, timesteps, noisy_latents)
    hidden = run_trunk(unet, unet.conv_in(noisy_latents), temb, encoder_hidden_states, visit)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))


def _layers(block: Any) -> Iterator[tuple[nn.Module, nn.Module | None]]:
    """Each resnet of a block with the attention that follows it, if any."""
    attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
    return zip(block.resnets, attentions, strict=True)


def _run(
    block: Any, layer: tuple[nn.Module, nn.Module | None], hidden: Tensor, temb: Tensor, context: Tensor | None
) -> Tensor:
    """One resnet and its attention; recomputed in backward where the block asks for it."""
    if block.gradient_checkpointing and torch.is_grad_enabled():
        return torch.utils.checkpoint.checkpoint(_forward, layer, hidden, temb, context, use_reentrant=False)
    return _forward(layer, hidden, temb, context)


def _forward(layer: tuple[nn.Module, nn.Module | None], hidden: Tensor, temb: Tensor, context: Tensor | None) -> Tensor:
    resnet, attention = layer
    hidden = resnet(hidden, temb)
    if attention is not None:
        hidden = attention(hidden, encoder_hidden_states=context, return_dict=False)[0]
    return hidden
