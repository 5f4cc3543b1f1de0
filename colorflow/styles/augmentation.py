"""The paper's screenstyle augmentation, and what is trained with where its weights are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from colorflow.schema import Style
from colorflow.styles.compose import Interpolated
from colorflow.styles.gray import GrayStyle
from colorflow.styles.procedural.style import ProceduralStyle
from colorflow.styles.screenvae import ScreenVAEStyle
from colorflow.utils.log import get_logger

_log = get_logger(__name__)


def screenstyle(
    weights: str | Path | None,
    without_weights: str = "error",
    weight: Sequence[float] = (0.0, 1.0),
    draws: str = "official",
    height: int | None = None,
    device: str = "cpu",
) -> Style:
    """Interpolate the gray page and ScreenVAE's rendition of it (paper, section 3.2).

    Args:
        weights: The released ColorFlow folder.
        without_weights: What to do where ``weights`` is None: "error"; "gray", the gray page alone; or "procedural",
            our screentones in place of ScreenVAE's. Records say which.
        weight: Lowest and highest share of the rendition.
        draws: See `ScreenVAEStyle`.
        height: See `ScreenVAEStyle`.
        device: See `ScreenVAEStyle`.

    Returns:
        A style named "screenstyle", or by what is taken in its place.

    Raises:
        CheckpointError: For missing or wrong weights.
        ValueError: For options that do not exist.
    """
    if without_weights not in ("error", "gray", "procedural"):
        raise ValueError(f"style.without_weights: expected error, gray or procedural, got {without_weights!r}")
    share = (weight[0], weight[-1])
    if weights is not None or without_weights == "error":
        return Interpolated(GrayStyle(), ScreenVAEStyle(weights, draws, height, device), share)
    _log.warning(
        "no ScreenVAE weights: %s pages take the place of the paper's screenstyle augmentation; style.weights=FOLDER "
        "turns it on (docs/styles.md)",
        without_weights,
    )
    return GrayStyle() if without_weights == "gray" else Interpolated(GrayStyle(), ProceduralStyle(), share)
