"""The whole way from a page and its references to a coloured page: RAP, ICP, then GSRP where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from colorflow.canvas import fit_box, fit_page, query_box, query_mask, stitch
from colorflow.models.conditioning import Region
from colorflow.models.gsrp import GSRPModel
from colorflow.pipelines.export import load_export
from colorflow.pipelines.gsrp import posterior_shape, super_resolve, super_resolve_released
from colorflow.pipelines.icp import ICPPipeline, Sampling, StageCallback, StepCallback
from colorflow.pipelines.rap import RetrievalSettings, build_retriever
from colorflow.pipelines.recipes import LEAN, Recipe, prepare_networks
from colorflow.retrieval import IndexedPool, Retriever, reference_pool
from colorflow.schema import ReferencePool, RetrievedPatch
from colorflow.utils.images import to_image, to_rgb, to_tensor
from colorflow.utils.seeding import generator

References = IndexedPool | ReferencePool | Sequence[Image.Image]
"""Coloured pages, or what `ColorFlowPipeline.index` made of them."""


@dataclass(frozen=True)
class ColorFlowOutput:
    """A coloured page and how it came about.

    Attributes:
        image: The coloured page, the page's own size (1.5W x 1.5H with the recipe's ``released_pages``); W x H without
            GSRP and ``keep_luminance``.
        canvas: What the model was shown, 2W x 2H.
        low_res: What it answered for the page, W x H; what GSRP was given.
        retrieved: The patches on the canvas, with their similarities.
        result_canvas: What it answered, 2W x 2H, where the recipe decodes that (``decode_margin=None``).
    """

    image: Image.Image
    canvas: Image.Image
    low_res: Image.Image
    retrieved: tuple[RetrievedPatch, ...]
    result_canvas: Image.Image | None = None


@dataclass(frozen=True)
class _Task:
    """A page on its way: what it is, what the model is shown, what super-resolution restores the details of."""

    page: Image.Image
    guide: Image.Image
    canvas: Image.Image
    retrieved: tuple[RetrievedPatch, ...]
    seed: int


class ColorFlowPipeline:
    """Colours pages of a sequence from a pool of coloured pages.

    Args:
        icp: In-context colorizer.
        retriever: Finds the reference patches.
        page_size: Page size (W, H) on the canvas.
        sampling: Steps and scales; default: the recipe's.
        keep_luminance: Give every page its own luminance back, at its own size, and take only the colour from the
            model: lines and lettering stay as sharp as they came. Right for gray copies of colour pages; on screentone
            it would keep the dots.
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
        self.page_size, self.sampling = page_size, sampling or recipe.sampling
        self.keep_luminance, self.name = keep_luminance, name
        self.gsrp, self.recipe = gsrp, recipe

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
            folder: Written by training (``runs/<experiment>/<time>/export``).
            torch_dtype: Networks are cast to this.
            device: Networks are moved there, also the retrieval encoder that the folder names.
            retrieval: Other than what the folder names.
            gsrp: Export folder that guided super-resolution is taken from; default: ``folder``, where it has one.
            recipe: How a page is computed.
        """
        export = load_export(Path(folder), torch_dtype, None if gsrp is None else Path(gsrp))
        icp = ICPPipeline.from_model(export.model).to(device)
        icp.set_progress_bar_config(disable=True)
        stage = None if export.gsrp is None else export.gsrp.to(device)
        prepare_networks(icp, stage, recipe)
        settings = retrieval or replace(export.retrieval, device=str(device))
        retriever = build_retriever(settings, recipe.cache_references)
        return cls(icp, retriever, export.page_size, gsrp=stage, recipe=recipe)

    def index(self, references: ReferencePool | Sequence[Image.Image]) -> IndexedPool:
        """Fit, cut and embed references once; the result can be passed wherever references can."""
        if not isinstance(references, ReferencePool):
            references = reference_pool([f"reference{number}" for number in range(len(references))], references)
        return self.retriever.index(references, self.page_size)

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
        """Colour one page.

        Args:
            page: The page; only its luminance is used.
            references: Coloured pages, or what `index` made of them; may be empty.
            seed: Of noise (and of random retrieval).
            sampling: Other than the pipeline's.
            guide: See `batch`.
            latents: See `batch`.
            posterior_noise: See `batch`.
            callback_on_step_end: See `batch`.
            callback_on_stage: See `batch`.

        Returns:
            The page in colour, the canvases, and what was retrieved.
        """
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
            pages: B pages of any sizes; only luminance is used.
            references: The pool of each page; ``[pool] * B`` for one chapter.
            seeds: Of the noise (and of random retrieval) of each page.
            sampling: Other than the pipeline's.
            guides: What super-resolution restores the details of, where that is not the page itself (released models
                for shaded sketches: the lines alone, released code 1); each of its page's size.
            latents: ``(B, C, h, w)`` initial noise of the canvases instead of the seeds' draws.
            posterior_noise: The VAE's posterior draws, likewise, in the order of their use: of one or two condition
                encodings as `ICPPipeline` takes them, then ``(B, C, ...)`` of super-resolution where it samples.
            callback_on_step_end: diffusers' own form, see `colorflow.pipelines.icp.StepCallback`.
            callback_on_stage: Called with the name of every stage that begins.

        Returns:
            For each page: the page in colour, the canvases, and what was retrieved.

        Raises:
            ValueError: For other numbers of references, seeds or guides than pages.
        """
        guides = pages if guides is None else guides
        _check_counts(len(pages), {"references": references, "seeds": seeds, "guides": guides})
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
        return [
            self._finish(task, to_image(shown), None if page_noise is None else page_noise[number : number + 1])
            for number, (task, shown) in enumerate(zip(tasks, result, strict=True))
        ]

    def _split(self, noise: Sequence[Tensor] | None) -> tuple[Sequence[Tensor] | None, Tensor | None]:
        """Given posterior draws as those of the condition and that of super-resolution."""
        if noise is None:
            return None, None
        encodings = 1 if self.icp.guider.conditioning_channels == self.icp.vae.config.latent_channels + 1 else 2
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
                shape = posterior_shape(self.gsrp, task.guide)
                noise = torch.randn((1, *shape), generator=generator(task.seed, "gsrp"))
            image = super_resolve_released(self.gsrp, task.guide, low_res, noise)
        elif self.gsrp is not None:
            image = super_resolve(self.gsrp, task.guide, low_res)
        if self.keep_luminance:
            image = with_luminance(image, task.page)
        return ColorFlowOutput(image, task.canvas, low_res, task.retrieved, whole)

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """The `Colorizer` protocol: just the coloured page."""
        return self(page, references, seed=seed).image


def load_pipeline(
    weights: str | Path,
    recipe: Recipe = LEAN,
    keep_luminance: bool = False,
    retrieval: RetrievalSettings | None = None,
    gsrp: str | Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
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
    """
    target = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    pipeline = ColorFlowPipeline.from_pretrained(weights, getattr(torch, dtype), target, retrieval, gsrp, recipe)
    pipeline.keep_luminance = keep_luminance
    return pipeline


def _check_counts(pages: int, given: Mapping[str, Sequence[object]]) -> None:
    for name, items in given.items():
        if len(items) != pages:
            raise ValueError(f"{name}: expected one a page ({pages}), got {len(items)}")


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
