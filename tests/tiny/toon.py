"""A base of the toon family that follows characters, small enough for any test."""

from __future__ import annotations

from colorflow.models.base import Base, random_base
from colorflow.models.families import find_family

CODEC = {"latent_channels": 6, "factor": 4, "width": 8, "depth": 1, "norm_num_groups": 4}
UNET = {
    "sample_size": 8,
    "in_channels": 6,
    "out_channels": 6,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 4,
    "attention_head_dim": 2,
}


def small_base() -> Base:
    """Codec of 6 channels, U-Net of two levels."""
    settings = {"vae": CODEC, "unet": UNET, "scheduler": {"prediction_type": "v_prediction"}, "tokens": 2, "seed": 0}
    return random_base(find_family("toon"), settings)
