"""Inference: no Lightning, no Hydra."""

from colorflow.pipelines.attention import AttentionSettings, attention_layers, attention_map
from colorflow.pipelines.attention_picture import draw_attention
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.output import ColorFlowOutput
from colorflow.pipelines.recipes import LEAN, RELEASED, Recipe
from colorflow.retrieval.settings import RetrievalSettings

__all__ = [
    "LEAN",
    "RELEASED",
    "AttentionSettings",
    "ColorFlowOutput",
    "ColorFlowPipeline",
    "Recipe",
    "RetrievalSettings",
    "Sampling",
    "attention_layers",
    "attention_map",
    "draw_attention",
]
