"""Inference: no Lightning, no Hydra."""

from colorflow.pipelines.attention import AttentionMap, AttentionSettings, attention_layers, attention_map
from colorflow.pipelines.attention_picture import draw_attention
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.pipelines.output import ColorFlowOutput
from colorflow.pipelines.recipes import LEAN, RELEASED, Recipe
from colorflow.retrieval.settings import RetrievalSettings, build_retriever

__all__ = [
    "LEAN",
    "RELEASED",
    "AttentionMap",
    "AttentionSettings",
    "ColorFlowOutput",
    "ColorFlowPipeline",
    "ICPPipeline",
    "Recipe",
    "RetrievalSettings",
    "Sampling",
    "attention_layers",
    "attention_map",
    "build_retriever",
    "draw_attention",
]
