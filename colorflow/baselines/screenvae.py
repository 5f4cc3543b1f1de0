"""ScreenStyle's way from manga to colour, as a method: lines, screen code, and colours by a style code.

The networks are those of ``colorflow.styles.screen``. There is no reference in the strict sense: the 64 numbers of the
style code are either those that its encoder gives for one reference page, or drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.baselines.nearest import check_pool, nearest_page, retrieval_row
from colorflow.baselines.weights import together
from colorflow.methods import References, Rows, row_label
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import BatchColorizer, ReferencePool
from colorflow.styles.lines.network import LineNetwork, draw_lines, opencv_gray
from colorflow.styles.networks import (
    CODE_FILE,
    COLOR_FILE,
    ENCODER_FILE,
    LINE_FILE,
    RELEASED,
    as_page,
    check_height,
    fit_height,
    load_networks,
    to_batch,
)
from colorflow.styles.screen.color import ScreenColorizer, StyleCodeEncoder
from colorflow.styles.screen.path import pad_to_256, signed
from colorflow.styles.screen.vae import Draws, ScreenEncoder
from colorflow.utils.images import to_image
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import full_precision, resolve_device

PUBLISHED = replace(RELEASED, key="method.weights", more="(docs/baselines.md)")

Code = Literal["reference", "random"]

_SCALE, _LIMIT = 1.25, 3.0
"""Of a drawn code: standard deviation (released test script); cut off beyond this many of it (our choice)."""


class Colored(NamedTuple):
    """B pages of H x W pixels on their way to colour, floats.

    Attributes:
        screen: ``(B, 4, H, W)``, the screen codes of the pages.
        page: ``(B, 3, H, W)`` in [-1, 1], the colours times the lines.
    """

    screen: Tensor
    page: Tensor


class ScreenToColor(nn.Module):
    """The three networks of the way back, and the line extractor that it needs.

    Args:
        width: Channels of the colorizer's and the style encoder's first level (official: 48).
        code: Length of the style code (official: 64).
        encoder_width: Channels of the ScreenVAE encoder's first convolution (official: 24).
    """

    def __init__(self, width: int = 48, code: int = 64, encoder_width: int = 24) -> None:
        super().__init__()
        self.colors, self.codes = ScreenColorizer(width, code), StyleCodeEncoder(width, code)
        self.screens, self.lines = ScreenEncoder(encoder_width), LineNetwork()
        self.code_length = code

    @property
    def files(self) -> Mapping[str, nn.Module]:
        """The networks by their files in the released folder."""
        return {COLOR_FILE: self.colors, CODE_FILE: self.codes, ENCODER_FILE: self.screens, LINE_FILE: self.lines}

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.colors.parameters()).device

    def encode(self, page: Tensor) -> Tensor:
        """Return the style codes, ``(B, code)`` float, of colour pages, ``(B, 3, H, W)`` uint8."""
        mean, _ = self.codes(signed(pad_to_256(page.to(self.device))))
        return mean

    def forward(self, manga: Tensor, line: Tensor, code: Tensor, draws: Draws | None = None) -> Colored:
        """Colour pages of one size, any.

        Args:
            manga: ``(B, 1, H, W)`` uint8.
            line: ``(B, 1, H, W)`` uint8, their line drawings.
            code: ``(B, code)`` float.
            draws: Noise of the colorizer; None for none.
        """
        height, width = manga.shape[-2:]
        gray, drawn = (signed(pad_to_256(part.to(self.device))) for part in (manga, line))
        screen = self.screens(gray, drawn)
        colors = self.colors(drawn, screen, code.to(self.device), draws)
        page = (colors + 1) * (drawn + 1) / 2 - 1  # the lines as they are, not binarised
        return Colored(*(part[..., :height, :width] for part in (screen, page)))


def load_screen_to_color(root: str | Path | None, networks: ScreenToColor) -> dict[str, str]:
    """Fill the networks from the released folder, strictly; returns the SHA-256 of each file.

    Raises:
        CheckpointError: For no folder, missing files, and files that do not hold exactly these networks.
    """
    return load_networks(root, networks.files, PUBLISHED)


def rows(
    weights: str | None,
    retrieval: RetrievalSettings,
    references: References = "own",
    code: Code = "reference",
    draws: str = "official",
    height: int | None = None,
    device: str = "auto",
    name: str = "screenvae",
) -> Rows:
    """The row of ScreenStyle's way; weights as for `load_screen_to_color`, options as for `ScreenVAEColorizer`."""

    def build(retriever: SimilarityRetriever) -> ScreenVAEColorizer:
        networks = ScreenToColor()
        load_screen_to_color(weights, networks)
        return ScreenVAEColorizer(networks.to(resolve_device(device)), retriever, code, draws, height, name)

    digests = load_screen_to_color(weights, ScreenToColor())  # now: a wrong file is told before anything is coloured
    settings = {"weights": digests, "code": code, "draws": draws, "height": height}
    return retrieval_row(name, row_label(name, "screenvae", "ScreenVAE"), build, references, retrieval, settings)


class ScreenVAEColorizer(BatchColorizer):
    """Manga to colour by a style code.

    Args:
        networks: Filled.
        retriever: Finds the page that the code is of.
        code: ``reference`` encodes the page of the pool that is most similar; ``random`` draws the code from the seed.
        draws: ``official`` draws noise as the released test does, from the seed; ``none`` leaves it out.
        height: Height that pages are coloured at, aspect kept; None: their own.
        name: Row name.

    Raises:
        ValueError: For an option that does not exist.
    """

    def __init__(
        self,
        networks: ScreenToColor,
        retriever: SimilarityRetriever,
        code: Code = "reference",
        draws: str = "official",
        height: int | None = None,
        name: str = "screenvae",
    ) -> None:
        if code not in ("reference", "random"):
            raise ValueError(f"screenvae code: expected reference or random, got {code!r}")
        if draws not in ("official", "none"):
            raise ValueError(f"screenvae draws: expected official or none, got {draws!r}")
        check_height(height, "method.height")
        self.networks, self.retriever, self.name = networks, retriever, name
        self.code, self.draws, self.height = code, draws, height

    @torch.no_grad()
    @full_precision()
    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Colour pages at their own sizes; those of one size go through the networks together.

        ``info`` holds the size that a page was coloured at, where it is another.

        Raises:
            NoReferenceError: For an empty pool, where the code is to be of a reference.
        """
        codes = [self._code(*each) for each in zip(pages, references, seeds, strict=True)]
        fitted = [fit_height(page, self.height) for page in pages]
        colored = together(list(zip(fitted, codes, seeds, strict=True)), lambda item: item[0].size, self._render)
        return [as_page(image, page) for image, page in zip(colored, pages, strict=True)]

    def _render(self, items: Sequence[tuple[Image.Image, Tensor, int]]) -> list[Image.Image]:
        """Colour pages of one size, each by its own style code, with noise from its own seed."""
        pages, codes, seeds = zip(*items, strict=True)
        gray = opencv_gray(torch.cat([to_batch(page) for page in pages]))
        line = draw_lines(self.networks.lines, gray)
        noise = [generator("screenvae noise", seed) for seed in seeds] if self.draws == "official" else None
        return [
            to_image(page, truncate=True) for page in self.networks(gray, line, torch.cat(codes), Draws(noise)).page
        ]

    def _code(self, page: Image.Image, references: ReferencePool, seed: int) -> Tensor:
        if self.code == "random":
            drawn = torch.empty(1, self.networks.code_length)
            limit = _LIMIT * _SCALE
            source = generator("screenvae code", seed)
            return nn.init.trunc_normal_(drawn, std=_SCALE, a=-limit, b=limit, generator=source)
        check_pool(self.name, references)
        return self.networks.encode(to_batch(nearest_page(page, references, self.retriever)))
