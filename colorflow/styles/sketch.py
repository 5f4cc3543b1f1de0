"""Line drawings, plain and with two levels of shading: the inputs of the released sketch models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from colorflow.styles.describe import Described
from colorflow.styles.lines.network import LineNetwork, draw_lines, opencv_gray
from colorflow.styles.networks import LINE_FILE, at_height, check_height, load_networks, to_batch, to_page

BLACK_BELOW = 0.3 * 255
GRAY_BELOW = 145
GRAY = 125
"""Released thresholds and level of the shading (released code, 1)."""


@dataclass(frozen=True)
class SketchStyle(Described):
    """The line drawing of a page, dark on white.

    Attributes:
        weights: The released ColorFlow folder (its ``LE`` part is enough).
        height: Height that pages are rendered at (released: 1.5 times the page, 1200 for 512 x 800); None: their own.
        device: Where the network runs.
        shading: Whether dark and middling regions are filled, as in the released shading model's input.
    """

    weights: str | Path | None
    height: int | None = None
    device: str = "cpu"
    shading: bool = False
    _network: LineNetwork = field(init=False, repr=False, compare=False)
    _digests: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Load the network.

        Raises:
            CheckpointError: For a file that is missing or not exactly this network.
        """
        check_height(self.height)
        network = LineNetwork()
        object.__setattr__(self, "_digests", load_networks(self.weights, {LINE_FILE: network}))
        object.__setattr__(self, "_network", network.to(self.device))

    @property
    def name(self) -> str:
        """``sketch`` or ``shading``."""
        return "shading" if self.shading else "sketch"

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the drawing; nothing is drawn from the generator."""
        return at_height(page, self.height, self._draw)

    def _draw(self, page: Image.Image) -> Image.Image:
        lines = to_page(draw_lines(self._network, opencv_gray(to_batch(page)))[0, 0])
        return shade(page, lines) if self.shading else lines


def shade(page: Image.Image, lines: Image.Image) -> Image.Image:
    """Fill the dark regions of a page with black and the middling ones with gray, beneath its lines.

    Args:
        page: The page, any mode that converts to ``L``.
        lines: Its line drawing, the same size.

    Returns:
        An RGB image with three equal channels.
    """
    light, drawn = np.asarray(page.convert("L")), np.array(lines.convert("L"))
    drawn[light < BLACK_BELOW] = 0
    drawn[(drawn > GRAY) & (light > BLACK_BELOW) & (light < GRAY_BELOW)] = GRAY
    return Image.fromarray(drawn).convert("RGB")
