"""Inference: no Lightning, no Hydra."""

from colorflow.pipelines.attention import AttentionSettings, attention_layers, attention_map
from colorflow.pipelines.attention_picture import draw_attention
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.recipes import LEAN, RELEASED

__all__ = [
    "LEAN",
    "RELEASED",
    "AttentionSettings",
    "ColorFlowPipeline",
    "attention_layers",
    "attention_map",
    "draw_attention",
]
