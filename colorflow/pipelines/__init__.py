"""Inference: no Lightning, no Hydra."""

from colorflow.pipelines.colorflow import ColorFlowOutput, ColorFlowPipeline
from colorflow.pipelines.icp import ICPPipeline, PixArtICPPipeline, Sampling
from colorflow.pipelines.rap import RetrievalSettings, build_retriever

__all__ = [
    "ColorFlowOutput",
    "ColorFlowPipeline",
    "ICPPipeline",
    "PixArtICPPipeline",
    "RetrievalSettings",
    "Sampling",
    "build_retriever",
]
