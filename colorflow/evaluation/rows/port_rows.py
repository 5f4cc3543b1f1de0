"""Rows of ported systems that look at no references, from their official weight files.

Files are read at once, so that a wrong one is told before anything is coloured, and again when pages are due: a table
of many systems holds one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from colorflow.baselines.acdo import Acdo, AcdoSettings
from colorflow.baselines.mcv2 import McV2, McV2Settings
from colorflow.evaluation.rows.specs import MethodSpec
from colorflow.utils.hashing import digest_json


def mcv2_rows(
    weights: str | None,
    denoiser: str | None,
    size: int = McV2Settings.size,
    sigma: float = McV2Settings.sigma,
    device: str = "auto",
    name: str = "mcv2",
) -> Mapping[str, MethodSpec]:
    """The row of MC-v2.

    Args:
        weights: The generator's file.
        denoiser: The denoiser's file; None: pages are coloured as they are.
        size: See `McV2Settings`.
        sigma: See `McV2Settings`.
        device: ``auto`` takes the GPU where there is one.
        name: Row name.

    Raises:
        CheckpointError: For files that are missing, damaged, or not exactly these networks.
        ValueError: For an option that cannot be.
    """
    settings = McV2Settings(size, sigma)
    return {name: _spec(partial(McV2.from_weights, weights, denoiser, settings=settings, name=name), device)}


def acdo_rows(
    weights: str | None,
    render_factor: int = AcdoSettings.render_factor,
    finish: str = AcdoSettings.finish,
    device: str = "auto",
    name: str = "acdo",
) -> Mapping[str, MethodSpec]:
    """The row of ACDO.

    Args:
        weights: A file of fastai's ``Learner.save``, or of its weights alone.
        render_factor: See `AcdoSettings`.
        finish: See `AcdoSettings`.
        device: ``auto`` takes the GPU where there is one.
        name: Row name.

    Raises:
        CheckpointError: For a file that is missing, damaged, or not exactly this network.
        ValueError: For an option that cannot be.
    """
    settings = AcdoSettings(render_factor, finish)
    return {name: _spec(partial(Acdo.from_weights, weights, settings=settings, name=name), device)}


def _spec(load: Callable[..., McV2 | Acdo], device: str) -> MethodSpec:
    method = load(device="cpu")
    fingerprint = digest_json([type(method).__name__, method.digests, asdict(method.settings)])
    return MethodSpec(lambda: load(device=device), "none", fingerprint)
