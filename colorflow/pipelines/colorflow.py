"""The whole way from a page and its references to a coloured page: RAP, ICP, then GSRP where there is one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from colorflow.canvas import fit_page, matching_size, query_box, query_mask, stitch
from colorflow.models.conditioning import Region
from colorflow.models.gsrp.model import GSRPModel
from colorflow.pipelines.export import Export, find_export, load_export, save_loaded
from colorflow.pipelines.gsrp import super_resolve, super_resolve_released
from colorflow.pipelines.icp import ICPPipeline, Sampling, StageCallback, StepCallback
from colorflow.pipelines.offload import Turns, offload_stages
from colorflow.pipelines.output import ColorFlowOutput, LookUp, with_luminance
from colorflow.pipelines.recipes import LEAN, Recipe, prepare_networks
from colorflow.retrieval.retriever import IndexedPool, Retriever, reference_pool
from colorflow.retrieval.settings import RetrievalSettings, build_retriever
from colorflow.schema import BatchColorizer, ReferencePool, RetrievedPatch
from colorflow.utils.images import to_image, to_rgb, to_tensor
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import resolve_device

References = IndexedPool | ReferencePool | Sequence[Image.Image]
"""Coloured pages, or what `ColorFlowPipeline.index` made of them."""


@dataclass(frozen=True)
class _Task:
    """A page on its way: what it is, what the model is shown, what super-resolution restores the details of."""

    page: Image.Image
    guide: Image.Image
    canvas: Image.Image
    retrieved: tuple[RetrievedPatch, ...]
    seed: int


class ColorFlowPipeline(BatchColorizer):
    """Colours pages of a sequence from a pool of coloured pages.

    Args:
        icp: In-context colorizer.
        retriever: Finds the reference patches.
        page_size: Page size (W, H) on the canvas.
        sampling: Steps and scales; default: the recipe's.
        keep_luminance: Take only the colour from the model, at each page's own size: lines and lettering stay as sharp
            as they came. Right for gray copies of colour pages; on screentone it would keep the dots.
        name: Row name in a benchmark.
        gsrp: Guided super-resolution; None leaves pages at W x H.
        recipe: How a page is computed. Networks and retriever are taken as they are: `from_pretrained` prepares them.
    """

    def __init__(
        self,
        icp: ICPPipeline,
        retriever: Retriever,
        page_size: tuple[int, int] = (512, 800),
        sampling: Sampling | None = None,
        keep_luminance: bool = False,
        name: str = "colorflow",
        gsrp: GSRPModel | None = None,
        recipe: Recipe = LEAN,
    ) -> None:
        self.icp, self.retriever = icp, retriever
        self.page_size, self.sampling = page_size, (sampling or recipe.sampling).or_steps(None)
        self.keep_luminance, self.name = keep_luminance, name
        self.gsrp, self.recipe = gsrp, recipe
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
        recipe: Recipe = LEAN,
    ) -> ColorFlowPipeline:
        """Load an export folder.

        Args:
            folder: Written by training (``runs/<name>/<time>/export``), or ``toon``, which comes with the package.
            torch_dtype: Networks are cast to this.
            device: Networks are moved there, also the retrieval encoder that the folder names.
            retrieval: Other than what the folder names.
            gsrp: Export folder that guided super-resolution is taken from; default: ``folder``, where it has one.
            recipe: How a page is computed.
        """
        export = load_export(find_export(folder), torch_dtype, None if gsrp is None else find_export(gsrp))
        recipe = replace(recipe, sampling=recipe.sampling.or_steps(export.num_inference_steps))
        icp = ICPPipeline(export.model).to(device)
        icp.set_progress_bar_config(disable=True)
        stage = None if export.gsrp is None else export.gsrp.to(device)
        prepare_networks(icp, stage, recipe)
        settings = retrieval or replace(export.retrieval, device="auto")
        settings = replace(settings, device=str(device)) if settings.device == "auto" else settings
        retriever = build_retriever(settings, recipe.cache_references)
        pipeline = cls(icp, retriever, export.page_size, gsrp=stage, recipe=recipe)
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

    @torch.no_grad()
    def look_up(self, page: Image.Image, references: References, *, seed: int = 0) -> LookUp:
        """Find a page's reference patches without colouring it; arguments as of `__call__`."""
        task = self._task(page, page, references, seed)
        return LookUp(task.canvas, task.retrieved)

    def __call__(
        self,
        page: Image.Image,
        references: References,
        *,
        seed: int = 0,
        sampling: Sampling | None = None,
        guide: Image.Image | None = None,
        latents: Tensor | None = None,
        posterior_noise: Sequence[Tensor] | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_stage: StageCallback | None = None,
    ) -> ColorFlowOutput:
        """Colour one page; arguments as of `batch`, each for this page alone. References may be empty."""
        return self.batch(
            [page],
            [references],
            seeds=[seed],
            sampling=sampling,
            guides=None if guide is None else [guide],
            latents=latents,
            posterior_noise=posterior_noise,
            callback_on_step_end=callback_on_step_end,
            callback_on_stage=callback_on_stage,
        )[0]

    @torch.no_grad()
    def batch(
        self,
        pages: Sequence[Image.Image],
        references: Sequence[References],
        *,
        seeds: Sequence[int],
        sampling: Sampling | None = None,
        guides: Sequence[Image.Image] | None = None,
        latents: Tensor | None = None,
        posterior_noise: Sequence[Tensor] | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_stage: StageCallback | None = None,
    ) -> list[ColorFlowOutput]:
        """Colour B pages in one pass of the networks; a page's result does not depend on the others.

        Args:
            pages: B pages of any size; only luminance is used.
            references: The pool of each page.
            seeds: Of the noise (and of random retrieval) of each page.
            sampling: Other than the pipeline's.
            guides: What super-resolution restores the details of, default: the pages (released sketches: lines).
            latents: ``(B, C, h, w)`` initial noise of the canvases instead of the seeds' draws.
            posterior_noise: The VAE's draws: of condition encodings as in `ICPPipeline`, then of super-resolution's.
            callback_on_step_end: diffusers' own form, see `colorflow.pipelines.icp.StepCallback`.
            callback_on_stage: Called with the name of every stage that begins.

        Returns:
            For each page: the page in colour, the canvases, and what was retrieved.

        Raises:
            ValueError: For other numbers of references, seeds or guides than pages.
        """
        guides = pages if guides is None else guides
        for name, items in {"references": references, "seeds": seeds, "guides": guides}.items():
            if len(items) != len(pages):
                raise ValueError(f"{name}: expected one a page ({len(pages)}), got {len(items)}")
        if not pages:
            return []
        announce: StageCallback = callback_on_stage or (lambda stage: None)
        announce("retrieve")
        tasks = [self._task(*item) for item in zip(pages, guides, references, seeds, strict=True)]
        canvas_noise, page_noise = self._split(posterior_noise)
        margin = self.recipe.decode_margin
        result = self.icp(
            torch.stack([to_tensor(task.canvas) for task in tasks]),
            query_mask(self.page_size)[None],
            sampling or self.sampling,
            [generator(seed, "icp") for seed in seeds],
            latents,
            canvas_noise,
            self.recipe.share_condition,
            None if margin is None else Region(query_box(self.page_size), margin),
            callback_on_step_end,
            announce,
        )
        if self.gsrp is not None:
            announce("super_resolve")
        draws = [None] * len(tasks) if page_noise is None else page_noise.split(1)
        return [self._finish(*item) for item in zip(tasks, map(to_image, result), draws, strict=True)]

    def _split(self, noise: Sequence[Tensor] | None) -> tuple[Sequence[Tensor] | None, Tensor | None]:
        """Given posterior draws as those of the condition and that of super-resolution."""
        if noise is None:
            return None, None
        encodings = self.icp.model.encodings
        sampled = self.gsrp is not None and self.recipe.released_pages
        if len(noise) != encodings + sampled:
            raise ValueError(
                f"posterior_noise: expected {encodings} draws for the condition, {int(sampled)} for super-resolution, "
                f"got {len(noise)}"
            )
        return noise[:encodings], noise[encodings] if sampled else None

    def _task(self, page: Image.Image, guide: Image.Image, references: References, seed: int) -> _Task:
        """Find a page's patches and lay them out around it."""
        pool = references if isinstance(references, IndexedPool) else self.index(references)
        page, guide = to_rgb(page), to_rgb(guide)
        if self.recipe.released_pages:
            size = (int(1.5 * self.page_size[0]), int(1.5 * self.page_size[1]))
            page, guide = fit_page(page, size), fit_page(guide, size)
        query = fit_page(page.convert("L"), self.page_size)
        retrieved = self.retriever.select(query, pool, seed=seed)
        patches = {(item.quadrant, item.rank): pool.patch_image(item.reference, item.patch) for item in retrieved}
        return _Task(page, guide, stitch(query, patches), retrieved, seed)

    def _finish(self, task: _Task, decoded: Image.Image, noise: Tensor | None) -> ColorFlowOutput:
        """From what was decoded (the query, or the whole canvas) to the page."""
        whole = decoded if self.recipe.decode_margin is None else None
        low_res = decoded if whole is None else whole.crop(query_box(self.page_size))
        image = low_res
        if self.gsrp is not None and self.recipe.released_pages:
            if noise is None:
                height, width = (-(-side // self.gsrp.factor) for side in reversed(task.guide.size))
                shape = 1, self.gsrp.vae.config.latent_channels, height, width
                noise = torch.randn(shape, generator=generator(task.seed, "gsrp"))
            image = super_resolve_released(self.gsrp, task.guide, low_res, noise)
        elif self.gsrp is not None:
            image = super_resolve(self.gsrp, task.guide, low_res)
        if self.keep_luminance:
            image = with_luminance(image, task.page)
        return ColorFlowOutput(image, task.canvas, low_res, task.retrieved, whole)

    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """The `BatchColorizer` protocol: just the coloured pages."""
        return [output.image for output in self.batch(pages, references, seeds=seeds)]

    def at_size(self, page_size: tuple[int, int]) -> ColorFlowPipeline:
        """The pipeline for another page size (W, H) on the canvas; networks and cached pools are shared."""
        other = copy.copy(self)
        other.page_size = page_size
        return other

    def for_page(self, page: tuple[int, int]) -> ColorFlowPipeline:
        """The pipeline for a canvas of a page's own aspect; see `colorflow.canvas.matching_size`."""
        return self.at_size(matching_size(page, self.page_size, 2 * self.icp.model.denoiser.factor))


def load_pipeline(
    weights: str | Path,
    recipe: Recipe = LEAN,
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
        recipe: How a page is computed.
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
    where = getattr(torch, dtype), resolve_device(device)
    pipeline = ColorFlowPipeline.from_pretrained(weights, *where, retrieval, gsrp, recipe)
    pipeline.keep_luminance = keep_luminance
    if offload == "stages":
        pipeline.enable_model_cpu_offload()
    if row_tile is not None:
        pipeline.enable_row_tiling(row_tile)
    return pipeline
