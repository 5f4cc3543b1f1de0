"""The whole way from a page and its references to a coloured page: RAP, ICP, then GSRP where there is one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from colorflow.canvas import fit_box, fit_page, matching_size, query_box, query_mask, stitch
from colorflow.models.gsrp import GSRPModel
from colorflow.pipelines.export import load_export
from colorflow.pipelines.gsrp import super_resolve
from colorflow.pipelines.icp import ICPPipeline, Sampling
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
        return cls(icp, build_retriever(retrieval or export.retrieval), export.page_size, gsrp=stage)

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
    """
    target = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    pipeline = ColorFlowPipeline.from_pretrained(weights, getattr(torch, dtype), target, retrieval, gsrp)
    pipeline.sampling, pipeline.keep_luminance = sampling, keep_luminance
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
