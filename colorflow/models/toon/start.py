"""How the toon family's U-Net starts: attention that looks for what is alike, and an answer of zero."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import nn

QUERY_GAIN = 1.2
"""Of the one orthogonal matrix that queries and keys share (our choice)."""

VALUE_GAIN = 0.7
"""Of the transposed value matrix that the output starts as (our choice)."""


@torch.no_grad()
def start_mimetic(unet: UNet2DConditionModel) -> None:
    """Mimetic initialisation (Trockman and Kolter 2023) of every self-attention, and a last convolution of zeros.

    Queries and keys are the same projection, so that a token first attends to tokens like it; values and output are
    nearly inverse, so that it gets their mean. Draws come from torch's global generator.
    """
    for name, module in unet.named_modules():
        if name.endswith(".attn1"):
            width = module.to_q.in_features
            match, carry = (torch.linalg.qr(torch.randn(width, width))[0] for _ in range(2))
            module.to_q.weight.copy_(QUERY_GAIN * match)
            module.to_k.weight.copy_(QUERY_GAIN * match)
            module.to_v.weight.copy_(carry)
            module.to_out[0].weight.copy_(VALUE_GAIN * carry.T)
            module.to_out[0].bias.zero_()
    for parameter in unet.conv_out.parameters():
        nn.init.zeros_(parameter)
