"""Rows of other systems that are ported (``colorflow.baselines``), from their official weight files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from colorflow.baselines.acdo import Acdo, AcdoSettings
from colorflow.baselines.mcv2 import McV2, McV2Settings
from colorflow.baselines.weights import weights_file
from colorflow.evaluation.run import MethodSpec
from colorflow.utils.hashing import digest_file, digest_json


def mcv2_rows(
    weights: str,
    denoiser: str | None,
    size: int = McV2Settings.size,
    sigma: float = McV2Settings.sigma,
    device: str = "auto",
    name: str = "mcv2",
) -> Mapping[str, MethodSpec]:
    """The row of MC-v2; its networks are loaded when the first page is due.

    Args:
        weights: The generator's file.
        denoiser: The denoiser's file; None: pages are coloured as they are.
        size: See `McV2Settings`.
        sigma: See `McV2Settings`.
        device: ``auto`` takes the GPU where there is one.
        name: Row name.

    Raises:
        CheckpointError: For a missing file.
        ValueError: For an option that cannot be.
    """
    settings = McV2Settings(size, sigma)
    files = {"method.weights": weights} | ({} if denoiser is None else {"method.denoiser": denoiser})
    return {
        name: MethodSpec(
            lambda: McV2.from_weights(weights, denoiser, device, settings, name),
            "none",
            _fingerprint("mcv2", files, asdict(settings)),
        )
    }


def acdo_rows(
    weights: str,
    render_factor: int = AcdoSettings.render_factor,
    finish: str = AcdoSettings.finish,
    device: str = "auto",
    name: str = "acdo",
) -> Mapping[str, MethodSpec]:
    """The row of ACDO; its network is loaded when the first page is due.

    Args:
        weights: A file of fastai's ``Learner.save``, or of its weights alone.
        render_factor: See `AcdoSettings`.
        finish: See `AcdoSettings`.
        device: ``auto`` takes the GPU where there is one.
        name: Row name.

    Raises:
        CheckpointError: For a missing file.
        ValueError: For an option that cannot be.
    """
    settings = AcdoSettings(render_factor, finish)
    return {
        name: MethodSpec(
            lambda: Acdo.from_weights(weights, device, settings, name),
            "none",
            _fingerprint("acdo", {"method.weights": weights}, asdict(settings)),
        )
    }


def _fingerprint(method: str, files: Mapping[str, str], settings: Mapping[str, object]) -> str:
    """Digest of the method, the digests of its files by config key, and its options."""
    digests = {key: digest_file(weights_file(file, key, f"{method}'s weights")) for key, file in files.items()}
    return digest_json([method, digests, dict(settings)])
