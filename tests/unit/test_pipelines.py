"""Inference: results that depend on page, references and seed alone; what each argument does; clear errors."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UniPCMultistepScheduler
from PIL import Image
from tiny.comics import BlockEncoder, draw_page
from tiny.models import PAGE_SIZE, SCHEDULER, noise, tiny_model, tiny_pipeline
from tiny.recipes import pixels
from torch import Tensor

from colorflow.canvas import fit_page, query_box, query_mask, reference_patches, slot_box
from colorflow.models.sd.trunk import unet_with_residuals
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.retrieval.encoders import HogEncoder
from colorflow.retrieval.retriever import NoReferences, RandomRetriever, SimilarityRetriever, reference_pool
from colorflow.retrieval.settings import RetrievalSettings, build_retriever

WIDTH, HEIGHT = 2 * PAGE_SIZE[0], 2 * PAGE_SIZE[1]
STEPS = 3
FAST = Sampling(STEPS)
GUIDED = Sampling(STEPS, guidance_scale=4.0)


@pytest.fixture(scope="module")
def icp() -> ICPPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="module")
def icp9() -> ICPPipeline:
    return tiny_pipeline(tiny_model(9))


def canvases(count: int) -> Tensor:
    return torch.stack([noise(3, HEIGHT, WIDTH, seed=20 + i).clamp(-1, 1) for i in range(count)])


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


MASK = query_mask(PAGE_SIZE)[None]


@pytest.mark.parametrize("sampling", [FAST, GUIDED], ids=["plain", "guided"])
@pytest.mark.parametrize("channels", [5, 9])
def test_result_does_not_depend_on_the_batch(icp, icp9, channels, sampling):
    pipeline, canvas = icp if channels == 5 else icp9, canvases(3)
    together = pipeline(canvas, MASK, sampling, generator=generators(1, 2, 3))
    assert together.shape == canvas.shape
    alone = [pipeline(canvas[i : i + 1], MASK, sampling, generator=generators(i + 1)) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), together, atol=2e-5, rtol=0)
    reordered = pipeline(canvas.flip(0), MASK.expand(3, -1, -1, -1), sampling, generator=generators(3, 2, 1))
    torch.testing.assert_close(reordered.flip(0), together, atol=2e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.01


@pytest.mark.parametrize("sampling", [FAST, GUIDED], ids=["plain", "guided"])
def test_same_seed_same_result(icp, sampling):
    canvas = canvases(1)
    first = icp(canvas, MASK, sampling, generator=generators(1))
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    assert torch.equal(icp(canvas, MASK, sampling, generator=generators(1)), first)
    assert torch.equal(torch.random.get_rng_state(), state), "noise was drawn from the global generator"
    assert not torch.allclose(icp(canvas, MASK, sampling, generator=generators(2)), first, atol=1e-3)
    one = icp(canvas, MASK, sampling, generator=generators(1)[0])
    torch.testing.assert_close(one, first, atol=2e-5, rtol=0)


def test_output_is_an_image_that_hangs_on_the_mask(icp):
    seen: list[tuple[int, int, torch.Size]] = []

    def watch(pipe: ICPPipeline, index: int, timestep: int, tensors: dict[str, Tensor]) -> None:
        seen.append((index, timestep, tensors["latents"].shape))

    result = icp(canvases(1), MASK, FAST, generator=generators(1), callback_on_step_end=watch)
    assert result.dtype == torch.float32
    assert not result.requires_grad
    assert -1 <= result.min() < result.max() <= 1
    assert seen == [(i, t, (1, 4, HEIGHT // 8, WIDTH // 8)) for i, t in enumerate([999, 666, 333])]
    assert not torch.allclose(icp(canvases(1), 1 - MASK, FAST, generator=generators(1)), result, atol=1e-4)


def test_schedule_and_prediction_type_reach_the_sampler(tmp_path):
    model = tiny_model()
    before = ICPPipeline(model).scheduler
    model.noise_scheduler.save_pretrained(tmp_path)
    model.noise_scheduler = DDPMScheduler.from_pretrained(tmp_path)
    after = ICPPipeline(model).scheduler
    for scheduler in (before, after):
        assert isinstance(scheduler, UniPCMultistepScheduler)
        scheduler.set_timesteps(4)
        assert scheduler.timesteps.tolist() == [999, 749, 500, 250]
    assert torch.equal(before.sigmas, after.sigmas)
    model.noise_scheduler = DDPMScheduler(**SCHEDULER | {"prediction_type": "v_prediction"})
    scheduler = ICPPipeline(model).scheduler
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.beta_schedule == "scaled_linear"


@pytest.mark.parametrize("channels", [5, 9])
@pytest.mark.parametrize("sampling", [FAST, GUIDED], ids=["plain", "guided"])
def test_injected_noise_is_what_would_be_drawn(icp, icp9, channels, sampling):
    """Under guidance each posterior draw is (2 B, ...), negative first."""
    pipeline, canvas, guided = icp if channels == 5 else icp9, canvases(2), sampling.guidance_scale > 1
    shape = (5 if guided else 3, 4, HEIGHT // 8, WIDTH // 8)
    drawn = torch.stack([torch.randn(shape, generator=source) for source in generators(1, 2)], dim=1)
    posterior = (drawn[1:3].flatten(0, 1), drawn[3:5].flatten(0, 1)) if guided else (drawn[1], drawn[2])
    found = pipeline(canvas, MASK, sampling, latents=drawn[0], posterior_noise=posterior)
    expected = pipeline(canvas, MASK, sampling, generator=generators(1, 2))
    assert torch.equal(found, expected)
    other = pipeline(canvas, MASK, sampling, latents=drawn[0], posterior_noise=[-part for part in posterior])
    assert not torch.allclose(other, expected, atol=1e-4), "posterior noise has no effect"


@pytest.mark.parametrize("guidance", [1.0, 4.0], ids=["plain", "guided"])
def test_of_several_samples_the_mean_latents_are_decoded(icp, monkeypatch, guidance):
    """Whatever the order of their draws; the first is that of one sample, whose canvas is not another's."""
    one, two = (Sampling(STEPS, guidance, samples=count) for count in (1, 2))
    canvas, seen = canvases(2), []
    draws = torch.randn(2, 2, 4, HEIGHT // 8, WIDTH // 8, generator=generators(7)[0])
    decode = "colorflow.pipelines.icp.decode_latents"
    monkeypatch.setattr(decode, lambda vae, latents: seen.append(latents) or torch.zeros_like(canvas))
    posterior = [torch.zeros(4 if guidance > 1 else 2, *draws.shape[2:])] * 2
    for sampling, latents in (
        (one, draws[0]),
        (one, draws[1]),
        (two, draws.flatten(0, 1)),
        (two, draws.flip(0).flatten(0, 1)),
    ):
        icp(canvas, MASK, sampling, latents=latents, posterior_noise=posterior)
    expected = (seen[0] + seen[1]) / 2
    for found in seen[2:]:
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (seen[0] - seen[1]).abs().max() > 0.1
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        Sampling(samples=0)


def prediction(icp: ICPPipeline, sampling: Sampling, halves: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    conditions, texts = zip(*halves, strict=True)
    return icp.predict(noise(1, 4, 12, 8), torch.tensor(500), torch.cat(conditions), torch.cat(texts), sampling)


@torch.no_grad()
def test_guidance_formula(icp):
    negative = (noise(1, 5, 12, 8, seed=1), icp.model.negative_prompt_embeds)
    positive = (noise(1, 5, 12, 8, seed=2), icp.model.prompt_embeds)
    apart = [prediction(icp, FAST, [half]) for half in (negative, positive)]
    guided = prediction(icp, Sampling(STEPS, guidance_scale=7.5), [negative, positive])
    torch.testing.assert_close(guided, apart[0] + 7.5 * (apart[1] - apart[0]), atol=1e-4, rtol=1e-4)
    assert (apart[0] - apart[1]).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_conditioning_scale(icp, scale):
    condition = noise(1, 5, 12, 8, seed=1)
    found = prediction(icp, Sampling(STEPS, conditioning_scale=scale), [(condition, icp.model.prompt_embeds)])
    latents = noise(1, 4, 12, 8)
    residuals = [scale * residual for residual in icp.model.guider(latents, torch.tensor(500), condition)]
    expected = unet_with_residuals(icp.model.network, latents, torch.tensor(500), icp.model.prompt_embeds, residuals)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_sampling_by_hand(icp):
    """The loop written out once more: encode, UniPC steps on the model's predictions, decode."""
    model, canvas = tiny_model().eval(), canvases(1)
    start, first, second = (noise(1, 4, 12, 8, seed=seed) for seed in (1, 2, 3))
    condition = model.encode_condition(canvas, MASK, (first, second))
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = UniPCMultistepScheduler(**betas, steps_offset=1)
    scheduler.set_timesteps(STEPS)
    latents = start
    for timestep in scheduler.timesteps:
        latents = scheduler.step(model(latents, timestep, condition), timestep, latents).prev_sample
    expected = model.vae.decode(latents / model.vae.config.scaling_factor).sample.clamp(-1, 1)
    found = icp(canvas, MASK, FAST, latents=start, posterior_noise=(first, second))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_diffusers_conventions():
    icp = tiny_pipeline()
    assert isinstance(icp, DiffusionPipeline)
    assert isinstance(icp.scheduler, UniPCMultistepScheduler)
    assert icp.to(torch.float64).network.dtype == icp.dtype == torch.float64
    assert icp.to("meta").guider.device.type == icp.device.type == "meta"


def test_what_has_no_canvas_or_another_is_refused(icp, pipe, references):
    with pytest.raises(ValueError, match=r"multiples of 8, got 60 x 96"):
        icp(canvases(1)[..., :60], MASK, FAST)
    with pytest.raises(ValueError, match=r"one a canvas \(2\), got 1"):
        icp(canvases(2), MASK, FAST, generator=generators(1))
    other = ColorFlowPipeline(icp, pipe.retriever, (48, 48), FAST)
    with pytest.raises(ValueError, match=r"page size \(32, 48\), got \(48, 48\)"):
        other(PAGE, pipe.index(references))
    for size in ((30, 48), (33, 48), (4, 4)):
        with pytest.raises(ValueError, match="multiple"):
            ColorFlowPipeline(icp, NoReferences(), size, FAST)(PAGE, [])
    with pytest.raises(ValueError, match="expected clip, hog, random or none, got 'colour'"):
        build_retriever(RetrievalSettings(kind="colour"))


# The whole pipeline: pages in, a page out.


@pytest.fixture(scope="module")
def references() -> list[Image.Image]:
    return [draw_page(seed, (64, 100)) for seed in range(3)]


@pytest.fixture
def pipe(icp: ICPPipeline) -> ColorFlowPipeline:
    return ColorFlowPipeline(icp, SimilarityRetriever(BlockEncoder()), PAGE_SIZE, FAST)


PAGE = draw_page(77, (70, 110))


def close(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and np.abs(pixels(one) - pixels(other)).max() <= 1


def test_page_and_canvases(pipe, references):
    output = pipe(PAGE, references, seed=3)
    assert output.image.size == PAGE_SIZE
    assert output.canvas.size == (WIDTH, HEIGHT)
    assert output.image == output.low_res
    assert output.result_canvas is None, "lean decodes the query alone"
    query = fit_page(PAGE.convert("L"), PAGE_SIZE)
    assert np.array_equal(pixels(output.canvas.crop(query_box(PAGE_SIZE))), pixels(query))
    assert len({(item.quadrant, item.rank) for item in output.retrieved}) == 12
    for item in output.retrieved:
        box = slot_box(PAGE_SIZE, item.quadrant, item.rank)
        number = int(item.reference.removeprefix("reference"))
        view = reference_patches(fit_page(references[number], PAGE_SIZE))[item.patch]
        expected = view.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BICUBIC)
        assert np.array_equal(pixels(output.canvas.crop(box)), pixels(expected))


def test_seed_page_and_references_alone_decide(pipe, references):
    first = pipe(PAGE, references, seed=3).image
    assert np.array_equal(pixels(pipe(PAGE, references, seed=3).image), pixels(first))
    assert not close(pipe(PAGE, references, seed=4).image, first)
    pool = reference_pool(["a", "b", "c"], references)
    assert np.array_equal(pixels(pipe.colorize(PAGE, pool, seed=3)), pixels(first)), "the Colorizer protocol"
    pages = [draw_page(seed) for seed in (50, 51)]
    forward = [pipe(page, references, seed=1).image for page in pages]
    backward = [pipe(page, references, seed=1).image for page in reversed(pages)][::-1]
    assert all(np.array_equal(pixels(one), pixels(other)) for one, other in zip(forward, backward, strict=True))
    plain = pipe(PAGE, references, seed=1).image
    assert not close(plain, pipe(PAGE, [draw_page(seed) for seed in (90, 91)], seed=1).image)
    guided = pipe(PAGE, references, seed=1, sampling=GUIDED).image
    assert guided.size == PAGE_SIZE
    assert not close(guided, plain)
    assert np.array_equal(pixels(pipe(PAGE, references, seed=1).image), pixels(plain)), "the pipeline's own is kept"
    gray = PAGE.convert("L")
    colour, plain = pipe(PAGE, references, seed=1), pipe(gray, references, seed=1)
    assert np.array_equal(pixels(colour.image), pixels(plain.image))
    assert colour.retrieved == plain.retrieved


def test_without_references(pipe):
    output = pipe(PAGE, [], seed=1)
    assert output.retrieved == ()
    assert output.image.size == PAGE_SIZE
    left, top, right, bottom = query_box(PAGE_SIZE)
    canvas = pixels(output.canvas)
    canvas[top:bottom, left:right] = 255
    assert canvas.min() == 255
    page = Image.new("RGBA", PAGE_SIZE, (0, 0, 0, 0))
    assert pixels(pipe(page, []).canvas).min() == 255


def test_one_reference_fills_every_slot(pipe, references):
    output = pipe(PAGE, references[:1], seed=1)
    assert len(output.retrieved) == 12
    assert {item.reference for item in output.retrieved} == {"reference0"}
    for quadrant in range(4):
        found = [item for item in output.retrieved if item.quadrant == quadrant]
        assert len({item.patch for item in found}) == 3
        assert found[0].similarity >= found[1].similarity >= found[2].similarity


def test_references_are_encoded_once(pipe, references):
    encoder = pipe.retriever.encoder
    pool = reference_pool(["a", "b", "c"], references)
    pipe(PAGE, pool, seed=1)
    assert encoder.seen == 5 * 3 + 4
    pipe(draw_page(51), pool, seed=1)
    assert encoder.seen == 5 * 3 + 2 * 4
    pipe.index(reference_pool(["a", "b", "c"], references))
    assert encoder.seen == 5 * 3 + 2 * 4, "an equal pool was embedded again"
    indexed = pipe.index(references)
    assert encoder.seen == 5 * 3 + 2 * 4, "other ids, the same pages"
    first = pipe(PAGE, indexed, seed=1)
    second = pipe(PAGE, references, seed=1)
    assert encoder.seen == 5 * 3 + 4 * 4
    assert np.array_equal(pixels(first.image), pixels(second.image))
    assert first.retrieved == second.retrieved


@pytest.mark.parametrize(
    ("kind", "expected"), [("hog", SimilarityRetriever), ("random", RandomRetriever), ("none", NoReferences)]
)
def test_retrievers_by_settings(icp, references, kind, expected):
    retriever = build_retriever(RetrievalSettings(kind=kind))
    assert isinstance(retriever, expected)
    if kind == "hog":
        assert isinstance(retriever.encoder, HogEncoder)
    output = ColorFlowPipeline(icp, retriever, PAGE_SIZE, Sampling(1))(PAGE, references)
    assert len(output.retrieved) == (0 if kind == "none" else 12)
