"""Inference: no Lightning, no Hydra."""

from colorflow.pipelines.colorflow import ColorFlowOutput, ColorFlowPipeline
from colorflow.pipelines.icp import ICPPipeline, PixArtICPPipeline, Sampling
from colorflow.pipelines.rap import RetrievalSettings, build_retriever
from colorflow.pipelines.recipes import LEAN, RELEASED, Recipe

__all__ = [
    "LEAN",
    "RELEASED",
    "ColorFlowOutput",
    "ColorFlowPipeline",
    "ICPPipeline",
    "PixArtICPPipeline",
    "Recipe",
    "RetrievalSettings",
    "Sampling",
    "build_retriever",
]
