"""EBMC as a method: page and one reference at 256 x 256 through both networks, its chroma under the page's own L."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from colorflow.baselines.ebmc.networks import ColorEncoder, ColorUNet
from colorflow.baselines.ebmc.panels import Panel, find_panels
from colorflow.baselines.lab import to_lab, to_page
from colorflow.baselines.nearest import check_pool, nearest_page, retrieval_row
from colorflow.methods import References, Rows, row_label
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import NATIVE_SIZE, BatchColorizer, ReferencePool
from colorflow.styles.networks import to_batch
from colorflow.utils.hashing import digest_file
from colorflow.utils.published import Published
from colorflow.utils.tensors import CheckpointError, fill, full_precision, read_parts, resolve_device

SIZE = 256
"""Side of the square that page and reference are squashed to (released default)."""

PUBLISHED = Published(
    "EBMC's generator for gray manga (xxx000_gray.pt, saved as 074000_gray.pt)",
    "by a link in the readme of linshys/Example_Based_Manga_Colorization---cGAN (GitHub)",
    "none for the weights; their code is Apache-2.0",
)

_MIDDLE, _RANGE, _CHROMA = 50.0, 50.0, 110.0


class EbmcNetworks(nn.Module):
    """The two networks of a released file, ``xxx_gray.pt`` or ``xxx_sketch.pt``.

    Args:
        width: Of both (official: 64).
        hidden: Of the VGG's classifier (official: 4096).
    """

    def __init__(self, width: int = 64, hidden: int = 4096) -> None:
        super().__init__()
        self.colorEncoder = ColorEncoder(width, hidden)
        self.colorUNet = ColorUNet(width, 8 * width)

    def forward(self, luminances: Sequence[Tensor], references: Sequence[Tensor], size: int = SIZE) -> list[Tensor]:
        """Return the chroma of pages, which go through the networks together.

        Args:
            luminances: ``(1, 1, H, W)`` float32 each, L - 50.
            references: One a page, ``(1, 3, h, w)`` float RGB in [0, 1] each.
            size: Side that all are squashed to.

        Returns:
            ``(1, 2, H, W)`` float each, a and b.
        """
        code = self.colorEncoder(torch.cat([_squash(reference, (size, size)) for reference in references]))
        light = torch.cat([_squash(luminance / _RANGE, (size, size)) for luminance in luminances])
        chroma = self.colorUNet(light, code) * _CHROMA
        pairs = zip(chroma.split(1), luminances, strict=True)
        return [_squash(part, luminance.shape[-2:]) for part, luminance in pairs]


def load_ebmc(file: str | Path | None, networks: EbmcNetworks) -> EbmcNetworks:
    """Fill the networks, made on the meta device, from a released file, strictly; the VGG's classifier is dropped.

    Raises:
        CheckpointError: For no file, one that is damaged or does not hold exactly these networks.
    """
    file = PUBLISHED.find(file)
    parts = read_parts(file, [name for name, _ in networks.named_children()])
    fill(networks, file, {f"{part}.{key}": value for part, state in parts.items() for key, value in state.items()})
    if apart := networks.colorEncoder.check_copies(parts["colorEncoder"]):
        raise CheckpointError(
            f"{file}: expected two equal copies of the VGG, got {len(apart)} that differ: {', '.join(apart[:4])}; it "
            "is another model's, or damaged"
        )
    networks.colorEncoder.drop_classifier()
    return networks.eval().requires_grad_(False)


def rows(
    weights: str | None,
    retrieval: RetrievalSettings,
    references: References = "own",
    size: int = SIZE,
    panels: bool = False,
    device: str = "auto",
    name: str = "ebmc",
) -> Rows:
    """The row of EBMC; weights and their errors as for `load_ebmc`, options as for `EbmcColorizer`."""

    def load() -> EbmcNetworks:
        with torch.device("meta"):
            networks = EbmcNetworks()
        return load_ebmc(weights, networks)

    def build(retriever: SimilarityRetriever) -> EbmcColorizer:
        return EbmcColorizer(load(), retriever, resolve_device(device), size, panels, name)

    load()  # now: a wrong file is told before anything is coloured
    settings = {"weights": digest_file(str(weights)), "size": size, "panels": panels}
    return retrieval_row(name, row_label(name, "ebmc", "EBMC"), build, references, retrieval, settings)


class EbmcColorizer(BatchColorizer):
    """EBMC with the page of the pool that our retrieval finds most similar.

    Args:
        networks: Filled.
        retriever: Finds the reference.
        device: Where the networks run.
        size: Side of the square that they see, a multiple of 16.
        panels: Whether each panel is coloured by itself, from its own reference; a page without panels is one.
        name: Row name.

    Raises:
        ValueError: For a size that the U-Net cannot halve four times.
    """

    def __init__(
        self,
        networks: EbmcNetworks,
        retriever: SimilarityRetriever,
        device: str | torch.device = "cpu",
        size: int = SIZE,
        panels: bool = False,
        name: str = "ebmc",
    ) -> None:
        if size < 16 or size % 16:
            raise ValueError(f"ebmc size: expected a multiple of 16, got {size}; the released default is {SIZE}")
        self.networks = networks.to(device)
        self.retriever, self.size, self.panels, self.name = retriever, size, panels, name

    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Colour pages, each from its reference, at their own size and lightness; seeds are not used.

        ``info`` holds the size that a page was coloured at. Panels go as many at a time as there are pages.

        Raises:
            NoReferenceError: For an empty pool.
        """
        for pool in references:
            check_pool(self.name, pool)
        panels = [find_panels(page) if self.panels else [] for page in pages]
        parts, nearest = [], []
        for page, pool, cut in zip(pages, references, panels, strict=True):
            for part in [page.crop(panel.box) for panel in cut] or [page]:
                parts.append(part)
                nearest.append(nearest_page(page, pool, self.retriever, part))
        several = [slice(start, start + len(pages)) for start in range(0, len(parts), len(pages))]
        colored = (image for some in several for image in self.paint(parts[some], nearest[some]))
        return [self._assemble(page, cut, colored) for page, cut in zip(pages, panels, strict=True)]

    @torch.no_grad()
    @full_precision()
    def paint(self, pages: Sequence[Image.Image], references: Sequence[Image.Image]) -> list[Image.Image]:
        """Colour pages by given references, one a page, in one pass."""
        device = next(self.networks.parameters()).device
        lights = [(to_lab(page)[..., 0] - _MIDDLE).astype(np.float32) for page in pages]
        luminances = [torch.from_numpy(light)[None, None].to(device) for light in lights]
        shown = [to_batch(reference).to(device) / 255 for reference in references]
        chromas = self.networks(luminances, shown, self.size)
        return [self._finish(*each) for each in zip(lights, chromas, strict=True)]

    def _finish(self, light: np.ndarray, chroma: Tensor) -> Image.Image:
        """A page of ``(H, W)`` L - 50 and ``(1, 2, H, W)`` a and b."""
        result = to_page(light + np.float32(_MIDDLE), chroma[0].permute(1, 2, 0).cpu().numpy(), truncate=True)
        result.info[NATIVE_SIZE] = (self.size, self.size)
        return result

    def _assemble(self, page: Image.Image, panels: Sequence[Panel], colored: Iterator[Image.Image]) -> Image.Image:
        """A page of its panels, each the next coloured picture; of the next one alone where it has none."""
        if not panels:
            return next(colored)
        result = page.convert("RGB")  # what is in no panel stays as it is
        for panel in panels:
            result.paste(next(colored), panel.box, panel.mask)
        result.info[NATIVE_SIZE] = (self.size, self.size)
        return result


def _squash(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear without antialiasing, the aspect not kept (released)."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
