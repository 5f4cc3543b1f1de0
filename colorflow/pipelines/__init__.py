"""Inference: no Lightning, no Hydra."""

from colorflow.pipelines.attention import AttentionMap, AttentionSettings, attention_layers, attention_map
from colorflow.pipelines.attention_picture import draw_attention
from colorflow.pipelines.colorflow import ColorFlowOutput, ColorFlowPipeline
from colorflow.pipelines.icp import ICPPipeline, PixArtICPPipeline, Sampling
from colorflow.pipelines.rap import RetrievalSettings, build_retriever

__all__ = [
    "AttentionMap",
    "AttentionSettings",
    "ColorFlowOutput",
    "ColorFlowPipeline",
    "ICPPipeline",
    "PixArtICPPipeline",
    "RetrievalSettings",
    "Sampling",
    "attention_layers",
    "attention_map",
    "build_retriever",
    "draw_attention",
]
