"""The ScreenVAE style: the screentone that the official networks make of a colour page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from colorflow.styles.describe import Described
from colorflow.styles.networks import (
    DECODER_FILE,
    GENERATOR_FILE,
    at_height,
    check_height,
    load_networks,
    to_batch,
    to_page,
)
from colorflow.styles.screen.path import ScreenPath, to_levels
from colorflow.styles.screen.vae import Draws


@dataclass(frozen=True)
class ScreenVAEStyle(Described):
    """ScreenVAE's rendition of a colour page, multiplied by its luminance twice, as the released code has it.

    Attributes:
        weights: The released ColorFlow folder (its ``ScreenStyle`` part is enough).
        draws: "official" draws dropout and noise of the decoder from the generator, "none" leaves both out.
        height: Height that pages are rendered at (released: 1.5 times the page, 1200 for 512 x 800); None: their own.
        device: Where the networks run.
        name: Name in records.
    """

    weights: str | Path | None
    draws: str = "official"
    height: int | None = None
    device: str = "cpu"
    name: str = "screenstyle"
    _path: ScreenPath = field(init=False, repr=False, compare=False)
    _digests: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Load the networks.

        Raises:
            CheckpointError: For files that are missing or not exactly these networks.
            ValueError: For an option that does not exist.
        """
        if self.draws not in ("official", "none"):
            raise ValueError(f"ScreenVAEStyle: expected draws of official or none, got {self.draws!r}")
        check_height(self.height)
        path = ScreenPath()
        files = {GENERATOR_FILE: path.generator, DECODER_FILE: path.decoder}
        object.__setattr__(self, "_digests", load_networks(self.weights, files))
        object.__setattr__(self, "_path", path.to(self.device))

    def __call__(self, page: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return the screentone page."""
        return at_height(page, self.height, lambda fitted: self.render([fitted], [generator])[0])

    @torch.no_grad()
    def render(self, pages: Sequence[Image.Image], generators: Sequence[torch.Generator]) -> list[Image.Image]:
        """Render pages of one size at once, as they are; each from its own generator, so as if it were alone."""
        batch = torch.cat([to_batch(page) for page in pages])
        draws = Draws(generators if self.draws == "official" else None)
        return [to_page(levels[0]) for levels in to_levels(self._path(batch, draws).page)]
