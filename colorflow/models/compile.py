"""Regional compilation: the blocks that hold most of the arithmetic, each compiled where it stands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import ModelMixin

ATTENTION = ("BasicTransformerBlock",)
"""Most of the arithmetic; a few graphs serve all of them."""

GRAPHS = 256
"""Graphs that there may be: one for each width, resolution, network and mode. At torch's own 8 that is an error."""


def compile_blocks(net: ModelMixin, classes: Sequence[str] = ATTENTION) -> None:
    """Compile every block of some classes on its own, without a graph break; weights keep their names.

    diffusers' ``compile_repeated_blocks`` does this for the classes that a network declares, which guiders and
    ``PixArtTransformer2DModel`` do not.

    Args:
        net: Base network or guider.
        classes: Names of classes.

    Raises:
        ValueError: If the network has none of them.
    """
    blocks = [module for module in net.modules() if type(module).__name__ in classes]
    if not blocks:
        raise ValueError(f"compile_blocks: expected blocks among {tuple(classes)}, {type(net).__name__} has none")
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
    for block in blocks:
        block.compile(fullgraph=True)
