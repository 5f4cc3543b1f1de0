"""Whole tiny pipelines by recipe, for tests of inference."""

import numpy as np
import torch
from PIL import Image

from colorflow.models.gsrp.fusion import FusionNetwork, NormMode, UpsampleMode
from colorflow.models.gsrp.model import GSRPModel
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.recipes import Recipe, prepare_networks
from colorflow.retrieval.retriever import SimilarityRetriever
from tiny.comics import BlockEncoder, draw_page
from tiny.models import PAGE_SIZE, VAE, randomize, tiny_model, tiny_pipeline, tiny_pixart_model

STEPS = 2
GUIDED = Sampling(STEPS, guidance_scale=4.0)
PAGE = draw_page(77, (70, 110))
REFERENCES = [draw_page(seed, (64, 100)) for seed in range(2)]


def fusion(norm_mode: NormMode = "batch", upsample_mode: UpsampleMode = "bilinear") -> FusionNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        net = FusionNetwork(VAE["block_out_channels"], norm_mode, upsample_mode)
    randomize(net, ".bn", scale=0.5)
    return net.eval()


def make(recipe: Recipe, channels: int = 5, pixart: bool = False) -> ColorFlowPipeline:
    """A whole pipeline with its own networks, as loading prepares them."""
    model = tiny_pixart_model() if pixart else tiny_model(channels)
    icp = tiny_pipeline(model.requires_grad_(False))
    gsrp = GSRPModel(model.vae, fusion(upsample_mode="bicubic")).eval()
    prepare_networks(icp, gsrp, recipe)
    kept = {} if recipe.cache_references else {"cached_pools": 0, "cached_pages": 0}
    return ColorFlowPipeline(icp, SimilarityRetriever(BlockEncoder(), **kept), PAGE_SIZE, gsrp=gsrp, recipe=recipe)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def gap(one: Image.Image, other: Image.Image) -> float:
    """Largest difference in levels."""
    assert one.size == other.size
    return float(np.abs(pixels(one) - pixels(other)).max())
