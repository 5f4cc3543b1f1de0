"""Batches of pages, draws from elsewhere, callbacks: what the pipeline takes beside a page and its references."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny.comics import draw_page
from tiny.models import PAGE_SIZE
from tiny.recipes import GUIDED, PAGE, REFERENCES, STEPS, gap, make, pixels
from torch import Tensor

from colorflow.canvas import query_box
from colorflow.models.conditioning import Region, decode_region
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.pipelines.recipes import LEAN, RELEASED, Recipe
from colorflow.utils.images import to_image
from colorflow.utils.seeding import generator


@pytest.mark.parametrize(
    "recipe", [Recipe(Sampling(STEPS)), replace(RELEASED, sampling=GUIDED)], ids=["lean", "released"]
)
def test_a_page_does_not_depend_on_its_batch(recipe):
    pipe = make(recipe)
    pages = [PAGE, draw_page(50), draw_page(51, (120, 60))]
    pools = [pipe.index(REFERENCES), pipe.index(REFERENCES[:1]), []]
    together = pipe.batch(pages, pools, seeds=[1, 2, 3])
    alone = [pipe(page, pool, seed=seed) for page, pool, seed in zip(pages, pools, (1, 2, 3), strict=True)]
    reordered = pipe.batch(pages[::-1], pools[::-1], seeds=[3, 2, 1])[::-1]
    for batched, single, turned in zip(together, alone, reordered, strict=True):
        assert batched.retrieved == single.retrieved == turned.retrieved
        assert gap(batched.canvas, single.canvas) == 0
        assert gap(batched.low_res, single.low_res) <= 1
        assert gap(turned.low_res, single.low_res) <= 1
        # One level of the low resolution spreads through the page's statistics in super-resolution.
        assert np.abs(pixels(batched.image) - pixels(single.image)).mean() < 0.1
    for number, page in enumerate(make(recipe).batch(pages[::2], pools[::2], seeds=[1, 3])):  # another device's share
        assert gap(page.low_res, together[2 * number].low_res) <= 1
    assert gap(together[0].low_res, pipe(PAGE, REFERENCES, seed=2).low_res) > 1, "the seed is not the page's own"


def test_counts_must_agree():
    pipe = make(LEAN)
    with pytest.raises(ValueError, match=r"seeds: expected one a page \(2\), got 1"):
        pipe.batch([PAGE, PAGE], [REFERENCES, REFERENCES], seeds=[1])
    with pytest.raises(ValueError, match=r"references: expected one a page \(1\), got 2"):
        pipe.batch([PAGE], [REFERENCES, REFERENCES], seeds=[1])
    assert pipe.batch([], [], seeds=[]) == []
    draws = [torch.zeros(1, 4, 12, 8)] * 2
    with pytest.raises(ValueError, match="expected 1 draws for the condition, 0 for super-resolution, got 2"):
        pipe(PAGE, REFERENCES, posterior_noise=draws)
    with pytest.raises(ValueError, match="expected 2 draws for the condition, 1 for super-resolution, got 2"):
        make(RELEASED, channels=9)(PAGE, REFERENCES, posterior_noise=draws)


def test_injected_noise_is_what_seeds_would_draw():
    """In the order that `batch` states: the canvas's encodings, then super-resolution's."""
    recipe = replace(RELEASED, sampling=GUIDED)
    pipe = make(recipe, channels=9)
    drawn = torch.randn((5, 1, 4, 12, 8), generator=generator(3, "icp"))
    last = torch.randn((1, 4, 9, 6), generator=generator(3, "gsrp"))
    expected = pipe(PAGE, REFERENCES, seed=3)
    given = [drawn[1:3].flatten(0, 1), drawn[3:].flatten(0, 1), last]
    found = pipe(PAGE, REFERENCES, seed=99, latents=drawn[0], posterior_noise=given)
    assert gap(found.image, expected.image) == 0
    other = pipe(PAGE, REFERENCES, seed=99, latents=drawn[0], posterior_noise=[*given[:2], -last])
    assert gap(other.low_res, expected.low_res) == 0
    assert gap(other.image, expected.image) > 0


# Callbacks.


def test_stages_and_steps_are_announced_and_steps_may_change_latents():
    stages: list[str] = []
    pipe = make(Recipe(Sampling(STEPS)))
    pipe(PAGE, REFERENCES, callback_on_stage=stages.append)
    assert stages == ["retrieve", "encode", "denoise", "decode", "super_resolve"]
    stages.clear()
    pipe.gsrp = None
    pipe.batch([PAGE, PAGE], [REFERENCES] * 2, seeds=[1, 2], callback_on_stage=stages.append)
    assert stages == ["retrieve", "encode", "denoise", "decode"]
    seen: list[tuple[int, int, torch.Size]] = []

    def watch(icp: ICPPipeline, step: int, timestep: int, tensors: dict[str, Tensor]) -> None:
        assert icp is pipe.icp
        seen.append((step, timestep, tensors["latents"].shape))

    plain = pipe(PAGE, REFERENCES, seed=1, callback_on_step_end=watch)
    assert seen == [(0, 999, (1, 4, 12, 8)), (1, 500, (1, 4, 12, 8))]
    blank = lambda icp, step, timestep, tensors: {"latents": torch.zeros_like(tensors["latents"])}  # noqa: E731
    changed = pipe(PAGE, REFERENCES, seed=1, callback_on_step_end=blank)
    assert gap(plain.low_res, changed.low_res) > 1
    zeros = decode_region(
        pipe.icp.model.vae, torch.zeros(1, 4, 12, 8), Region(query_box(PAGE_SIZE), LEAN.decode_margin or 0)
    )
    assert gap(changed.low_res, to_image(zeros[0])) <= 1
