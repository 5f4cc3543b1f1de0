"""The whole way from a page and its references to a coloured page: RAP, ICP, then GSRP where there is one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

from colorflow.canvas import fit_box, fit_page, matching_size, query_box, query_mask, stitch
from colorflow.models.gsrp import GSRPModel
from colorflow.pipelines.export import Export, load_export, save_loaded
from colorflow.pipelines.gsrp import super_resolve
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.pipelines.offload import Turns, offload_stages
from colorflow.pipelines.rap import RetrievalSettings, build_retriever
from colorflow.retrieval import IndexedPool, Retriever, reference_pool
from colorflow.schema import ReferencePool, RetrievedPatch
from colorflow.utils.images import to_image, to_rgb, to_tensor
from colorflow.utils.seeding import generator


@dataclass(frozen=True)
class ColorFlowOutput:
    """A coloured page and how it came about.

    Attributes:
        image: The coloured page, the page's own size; W x H without GSRP and ``keep_luminance``.
        canvas: What the model was shown, 2W x 2H.
        result_canvas: What it answered, 2W x 2H; its centre is what GSRP was given.
        retrieved: The patches on the canvas, with their similarities.
    """

    image: Image.Image
    canvas: Image.Image
    result_canvas: Image.Image
    retrieved: tuple[RetrievedPatch, ...]


class ColorFlowPipeline:
    """Colours pages of a sequence from a pool of coloured pages.

    Args:
        icp: In-context colorizer.
        retriever: Finds the reference patches.
        page_size: Page size (W, H) on the canvas.
        sampling: Steps and scales.
        keep_luminance: Give every page its own luminance back, at its own size, and take only the colour from the
            model: lines and lettering stay as sharp as they came. Right for gray copies of colour pages; on screentone
            it would keep the dots.
        name: Row name in a benchmark.
        gsrp: Guided super-resolution; None leaves pages at W x H.
    """

    def __init__(
        self,
        icp: ICPPipeline,
        retriever: Retriever,
        page_size: tuple[int, int] = (512, 800),
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
        keep_luminance: bool = False,
        name: str = "colorflow",
        gsrp: GSRPModel | None = None,
    ) -> None:
        self.icp, self.retriever = icp, retriever
        self.page_size, self.sampling = page_size, sampling
        self.keep_luminance, self.name = keep_luminance, name
        self.gsrp = gsrp
        self.export: Export | None = None  # what it was loaded from, for `save_pretrained`
        self.turns: Turns | None = None

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        torch_dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        retrieval: RetrievalSettings | None = None,
        gsrp: str | Path | None = None,
    ) -> ColorFlowPipeline:
        """Load an export folder.

        Args:
            folder: Written by training (``runs/<experiment>/<time>/export``).
            torch_dtype: Networks are cast to this.
            device: Networks are moved there.
            retrieval: Other than what the folder names.
            gsrp: Export folder that guided super-resolution is taken from; default: ``folder``, where it has one.
        """
        export = load_export(Path(folder), torch_dtype, None if gsrp is None else Path(gsrp))
        icp = ICPPipeline.from_model(export.model).to(device)
        icp.set_progress_bar_config(disable=True)
        stage = None if export.gsrp is None else export.gsrp.to(device)
        settings = retrieval or export.retrieval
        pipeline = cls(icp, build_retriever(settings), export.page_size, gsrp=stage)
        pipeline.export = replace(export, retrieval=settings)
        return pipeline

    def save_pretrained(self, folder: str | Path) -> None:
        """Write an export folder that `from_pretrained` reads back bit for bit; see `save_loaded`."""
        save_loaded(self.export, Path(folder), self.page_size, self.gsrp)

    def enable_model_cpu_offload(self, device: torch.device | str | None = None) -> None:
        """Let retrieval, denoising and the rest take turns on the device (default: where the networks are).

        The same bits in less memory; images of a batch pass the VAE one at a time. Weights of retrieval (if it runs
        there) and denoising move in and out once for every batch of pages.
        """
        if self.turns is not None:
            self.turns.end()
        self.turns = offload_stages(self.icp, self.gsrp, self.retriever, torch.device(device or self.icp.device))

    def enable_row_tiling(self, rows: int = 64) -> None:
        """Let guided super-resolution fuse features ``rows`` rows at a time; the same result up to rounding."""
        if self.gsrp is not None:
            self.gsrp.fusion.set_row_tile(rows)

    def index(self, references: ReferencePool | Sequence[Image.Image]) -> IndexedPool:
        """Fit, cut and embed references once; the result can be passed wherever references can."""
        if not isinstance(references, ReferencePool):
            references = reference_pool([f"reference{number}" for number in range(len(references))], references)
        return self.retriever.index(references, self.page_size)

    def __call__(
        self,
        page: Image.Image,
        references: IndexedPool | ReferencePool | Sequence[Image.Image],
        *,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> ColorFlowOutput:
        """Colour one page.

        Args:
            page: The page; only its luminance is used.
            references: Coloured pages, or what `index` made of them; may be empty.
            seed: Of noise (and of random retrieval).
            sampling: Other than the pipeline's.

        Returns:
            The page in colour, the canvases, and what was retrieved.
        """
        pool = references if isinstance(references, IndexedPool) else self.index(references)
        page = to_rgb(page)
        query = fit_page(page.convert("L"), self.page_size)
        retrieved = self.retriever.select(query, pool, seed=seed)
        patches = {(item.quadrant, item.rank): pool.patch_image(item.reference, item.patch) for item in retrieved}
        canvas = stitch(query, patches)
        result = self.icp(
            to_tensor(canvas)[None],
            query_mask(self.page_size)[None],
            sampling or self.sampling,
            generator=[generator(seed, "icp")],
        )
        result_canvas = to_image(result[0].cpu())
        image = result_canvas.crop(query_box(self.page_size))
        if self.gsrp is not None:
            image = super_resolve(self.gsrp, page, image)
        if self.keep_luminance:
            image = with_luminance(image, page)
        return ColorFlowOutput(image, canvas, result_canvas, retrieved)

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """The `Colorizer` protocol: just the coloured page."""
        return self(page, references, seed=seed).image

    def at_size(self, page_size: tuple[int, int]) -> ColorFlowPipeline:
        """The pipeline for another page size (W, H) on the canvas; networks and cached pools are shared."""
        other = copy.copy(self)
        other.page_size = page_size
        return other

    def for_page(self, page: tuple[int, int]) -> ColorFlowPipeline:
        """The pipeline for a canvas of a page's own aspect; see `colorflow.canvas.matching_size`."""
        return self.at_size(matching_size(page, self.page_size, 2 * self.icp.denoiser.factor))


def load_pipeline(
    weights: str | Path,
    sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
    keep_luminance: bool = False,
    retrieval: RetrievalSettings | None = None,
    gsrp: str | Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    offload: Literal["none", "stages"] = "none",
    row_tile: int | None = None,
) -> ColorFlowPipeline:
    """Load an export folder as a configuration describes it: names where `from_pretrained` takes torch objects.

    Args:
        weights: Export folder.
        sampling: Steps and scales.
        keep_luminance: See `ColorFlowPipeline`.
        retrieval: Other than what the folder names.
        gsrp: See `ColorFlowPipeline.from_pretrained`.
        device: ``auto`` takes the GPU where there is one.
        dtype: Of the networks.
        offload: ``stages`` take turns, see `ColorFlowPipeline.enable_model_cpu_offload`.
        row_tile: See `ColorFlowPipeline.enable_row_tiling`.
    """
    if offload not in ("none", "stages"):
        raise ValueError(f"offload: expected none or stages, got {offload!r}")
    target = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    pipeline = ColorFlowPipeline.from_pretrained(weights, getattr(torch, dtype), target, retrieval, gsrp)
    pipeline.sampling, pipeline.keep_luminance = sampling, keep_luminance
    if offload == "stages":
        pipeline.enable_model_cpu_offload()
    if row_tile is not None:
        pipeline.enable_row_tiling(row_tile)
    return pipeline


def with_luminance(result: Image.Image, page: Image.Image) -> Image.Image:
    """The colour (Cb, Cr) of a result under the luminance of the page it was made of.

    Args:
        result: W x H, from a page that `fit_page` brought to that size, or of the page's own size.
        page: The page; what a centre crop left out stays gray.

    Returns:
        RGB, the size of ``page``.
    """
    left, top, right, bottom = fit_box(page.size, result.size)
    colour = Image.new("YCbCr", page.size, (128, 128, 128))
    shown = result.convert("YCbCr").resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    colour.paste(shown, (left, top))
    _, blue, red = colour.split()
    return Image.merge("YCbCr", (page.convert("L"), blue, red)).convert("RGB")
