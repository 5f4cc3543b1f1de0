"""How a page is computed: the released demo's way, or ours with every saving switchable alone.

``docs/inference.md`` lists for each saving whether it is exact, with the numbers that it was measured at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from colorflow.models.compile import compile_blocks
from colorflow.models.gsrp.model import GSRPModel
from colorflow.models.lora import fuse_lora
from colorflow.pipelines.icp import STEPS, ICPPipeline, Sampling


@dataclass(frozen=True)
class Recipe:
    """What a pipeline does for a page beside its networks; the default is `LEAN`, the released demo is `RELEASED`.

    The first five are read for every page. ``cache_references``, ``merge_lora``, ``channels_last`` and
    ``compile_blocks`` are applied where weights are loaded (`ColorFlowPipeline.from_pretrained`), as they change the
    networks and the retriever.

    Attributes:
        sampling: Steps and scales. ``guidance_scale=1`` is not what the released demo computes: the weights were
            trained for it, but guidance is gone. Half the cost of denoising.
        share_condition: Under guidance, encode the canvas once and run the guider once a step for both halves. In
            distribution: the released demo doubles the canvas before encoding, so that the halves differ by their
            posterior draws. Without guidance it changes nothing.
        decode_margin: Decode the query's latents with this many latent pixels around them, not the whole canvas (None).
            Approximate: group norm and the middle attention see less of the canvas.
        released_pages: The page is first fitted to 1.5 W x 1.5 H, the query is made of that, and super-resolution
            answers at that size, in 8 bits between the stages, with a sampled posterior and values truncated, all as
            released. Else pages keep their own size, values are float and rounded, the posterior's mean is taken.
        cache_references: A reference page is fitted and embedded once, not again for every page. Exact.
        merge_lora: The LoRA product is added to the base's weights. Exact up to rounding in the networks' precision.
        channels_last: Convolutions in NHWC memory. Exact up to rounding.
        compile_blocks: Transformer blocks of base and guider by ``torch.compile``, no graph break allowed. Exact up to
            rounding; the first page pays for it.
    """

    sampling: Sampling = Sampling()  # noqa: RUF009 (frozen)
    share_condition: bool = True
    decode_margin: int | None = 4
    released_pages: bool = False
    cache_references: bool = True
    merge_lora: bool = True
    channels_last: bool = False
    compile_blocks: bool = False

    def __post_init__(self) -> None:
        """Refuse a margin that cuts the query."""
        if self.decode_margin is not None and self.decode_margin < 0:
            raise ValueError(f"decode_margin: expected latent pixels of at least 0, or None, got {self.decode_margin}")


LEAN = Recipe()
"""Ours."""

RELEASED = Recipe(
    Sampling(STEPS, guidance_scale=7.5),  # of the SD v1.5 weights; PixArt-alpha's: 4.5 (released code 3.4, 4)
    share_condition=False,
    decode_margin=None,
    released_pages=True,
    cache_references=False,
    merge_lora=False,
)
"""The released demo (released code 2 to 7)."""


def prepare_networks(icp: ICPPipeline, gsrp: GSRPModel | None, recipe: Recipe) -> None:
    """Apply what a recipe does to the networks, in place."""
    if recipe.merge_lora:
        fuse_lora(icp.model.network)
    if recipe.channels_last:
        for net in (icp.model.network, icp.model.guider, icp.model.vae, *(() if gsrp is None else (gsrp.fusion,))):
            net.to(memory_format=torch.channels_last)
    if recipe.compile_blocks:
        for net in (icp.model.network, icp.model.guider):
            compile_blocks(net)
