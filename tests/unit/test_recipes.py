"""Recipes: each saving alone, what it saves and what it changes; batches of pages; callbacks; the configuration."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from PIL import Image
from tiny.models import PAGE_SIZE, SD_UNET, noise, tiny_base, tiny_model, tiny_pipeline, tiny_pixart_model
from tiny.recipes import GUIDED, PAGE, REFERENCES, STEPS, gap, make, pixels
from torch import Tensor, nn

from colorflow import config
from colorflow.canvas import fit_page, query_box, query_mask
from colorflow.config import compose_config
from colorflow.evaluation.rows.exports import Row, colorflow_rows
from colorflow.models.conditioning import Region, decode_latents, decode_region
from colorflow.pipelines.colorflow import ColorFlowPipeline, load_pipeline
from colorflow.pipelines.export import save_export
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.recipes import LEAN, RELEASED, Recipe, prepare_networks
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.utils.images import to_image

MASK = query_mask(PAGE_SIZE)[None]


def counting(pipe: ColorFlowPipeline, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    seen = {"encoded": 0, "guided": 0, "predicted": 0, "decoded pixels": 0}

    def watch(owner: object, method: str, name: str, size: Callable[[Tensor], int]) -> None:
        original = getattr(owner, method)

        def counted(first: Tensor, *args: object, **kwargs: object) -> object:
            seen[name] += size(first)
            return original(first, *args, **kwargs)

        monkeypatch.setattr(owner, method, counted)

    watch(pipe.icp.model.vae, "encode", "encoded", len)
    watch(pipe.icp.model.vae, "decode", "decoded pixels", lambda latents: len(latents) * latents[0, 0].numel())
    watch(pipe.icp.model.guider, "forward", "guided", len)
    watch(pipe.icp.model.network.conv_in, "forward", "predicted", len)
    return seen


@pytest.mark.parametrize("channels", [5, 9])
def test_what_each_recipe_calls(monkeypatch, channels):
    """Four encodings and twice the networks as released (with 9 channels), two encodings and one pass in ours."""
    canvas, encodings = 8 * 12, 1 if channels == 5 else 2
    released = replace(RELEASED, sampling=replace(RELEASED.sampling, num_inference_steps=STEPS))
    expected = {
        "released": (released, 2, 2, 2, canvas),
        "lean": (Recipe(Sampling(STEPS), decode_margin=1), 1, 1, 1, 6 * 8),
        "lean, guided": (Recipe(GUIDED, decode_margin=None), 1, 1, 2, canvas),
    }
    for name, (recipe, encoded, guided, predicted, decoded) in expected.items():
        pipe = make(recipe, channels)
        pipe.gsrp = None
        seen = counting(pipe, monkeypatch)
        pipe(PAGE, REFERENCES)
        assert seen == {
            "encoded": encodings * encoded,
            "guided": STEPS * guided,
            "predicted": STEPS * predicted,
            "decoded pixels": decoded,
        }, name


def test_shared_condition_equals_equal_halves(monkeypatch):
    """Sharing is what the released way computes where both halves are given the same posterior draw."""
    for model in (tiny_model(9), tiny_pixart_model()):
        icp = tiny_pipeline(model)
        canvas, start = noise(2, 3, 96, 64, seed=1).clamp(-1, 1), noise(2, 4, 12, 8, seed=2)
        draws = [noise(2, 4, 12, 8, seed=seed) for seed in (3, 4)]
        shared = icp(canvas, MASK, GUIDED, latents=start, posterior_noise=draws, share_condition=True)
        doubled = [torch.cat([draw, draw]) for draw in draws]
        apart = icp(canvas, MASK, GUIDED, latents=start, posterior_noise=doubled)
        torch.testing.assert_close(shared, apart, atol=2e-5, rtol=0)
        other = [torch.cat([draw, -draw]) for draw in draws]
        assert (icp(canvas, MASK, GUIDED, latents=start, posterior_noise=other) - apart).abs().max() > 1e-3
        with pytest.raises(ValueError, match=r"draws for 2 encoded canvases .* got 4 and 4"):
            icp(canvas, MASK, GUIDED, latents=start, posterior_noise=doubled, share_condition=True)


def test_without_guidance_sharing_changes_nothing():
    icp, canvas = tiny_pipeline(), noise(1, 3, 96, 64, seed=1).clamp(-1, 1)
    results = [
        icp(canvas, MASK, Sampling(STEPS), [torch.Generator().manual_seed(1)], share_condition=shared)
        for shared in (False, True)
    ]
    assert torch.equal(*results)


@pytest.mark.parametrize("box", [(16, 24, 48, 72), (0, 0, 24, 40), (3, 5, 30, 61)])
@torch.no_grad()
def test_decoded_region(box):
    """The right pixels at any margin, also at the canvas's edge; exact where the margin takes in everything."""
    vae, latents = tiny_model().vae.eval(), noise(2, 4, 12, 8, seed=1)
    left, top, right, bottom = box
    whole = decode_latents(vae, latents)[..., top:bottom, left:right]
    assert torch.equal(decode_region(vae, latents, Region(box, 12)), whole)
    errors = [(decode_region(vae, latents, Region(box, margin)) - whole).abs().mean().item() for margin in (0, 2, 12)]
    shifted = decode_latents(vae, latents.roll(1, dims=-1))[..., top:bottom, left:right]
    assert errors[0] >= errors[1] >= errors[2] == 0
    assert errors[0] > 0
    assert errors[0] < (shifted - whole).abs().mean().item(), "further off than one latent pixel to the side"


def test_what_a_recipe_cannot_be():
    with pytest.raises(ValueError, match="at least 0, or None, got -1"):
        Recipe(decode_margin=-1)
    with pytest.raises(Exception, match="mergelora"):
        compose_config("colorize", ["recipe.mergelora=true"])
    with pytest.raises(Exception, match="frugal"):
        compose_config("colorize", ["recipe=frugal"])
    assert compose_config("colorize", ["recipe.merge_lora=false"]).pipeline.recipe.merge_lora is False
    icp = tiny_pipeline()
    icp.model.unet = nn.Linear(1, 1)
    with pytest.raises(ValueError, match="Linear has none"):
        prepare_networks(icp, None, Recipe(merge_lora=False, compile_blocks=True))


@pytest.mark.parametrize("pixart", [False, True], ids=["sd", "pixart"])
@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"merge_lora": True}, 1),
        ({"channels_last": True}, 1),
        ({"cache_references": True}, 0),
        ({"decode_margin": 12}, 0),  # of 12 latent rows: all of them
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_exact_savings_change_nothing_but_rounding(change, allowed, pixart):
    plain = Recipe(GUIDED, decode_margin=None, cache_references=False, merge_lora=False)
    expected = make(plain, pixart=pixart)(PAGE, REFERENCES, seed=3)
    found = make(replace(plain, **change), pixart=pixart)(PAGE, REFERENCES, seed=3)
    assert gap(found.low_res, expected.low_res) <= allowed
    assert found.retrieved == expected.retrieved
    assert (found.result_canvas is None) == ("decode_margin" in change)


def test_merged_networks_are_stock():
    pipe, kept = make(LEAN), make(replace(LEAN, merge_lora=False))
    own = [name for name, _ in pipe.icp.model.network.named_parameters()]
    assert own == [name for name, _ in tiny_base().network.named_parameters()]
    assert any("lora_" in name for name, _ in kept.icp.model.network.named_parameters())
    before = tiny_base().network.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in pipe.icp.model.network.named_parameters())


def test_channels_last_reaches_every_network():
    pipe = make(replace(LEAN, channels_last=True))
    assert pipe.gsrp is not None
    for net in (pipe.icp.model.network, pipe.icp.model.guider, pipe.icp.model.vae, pipe.gsrp.fusion):
        kernels = [weight for weight in net.parameters() if weight.ndim == 4 and min(weight.shape[1:]) > 1]
        assert kernels
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)


@pytest.mark.parametrize("pixart", [False, True], ids=["sd", "pixart"])
def test_compiled_blocks_break_no_graph(pixart):
    """``fullgraph`` raises at a graph break; the traced graphs are run as they are, so that no compiler is needed.

    LoRA is merged before both runs: merging rounds otherwise, compiling does not.
    """
    torch._dynamo.reset()
    model = tiny_pixart_model() if pixart else tiny_model(base=tiny_base(SD_UNET))
    icp = tiny_pipeline(model.requires_grad_(False))
    prepare_networks(icp, None, Recipe(merge_lora=True))
    canvas = noise(1, 3, 96, 64, seed=1).clamp(-1, 1)

    def run() -> Tensor:
        return icp(canvas, MASK, GUIDED, [torch.Generator().manual_seed(1)], share_condition=True)

    expected, graphs = run(), []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        graphs.append(graph)
        return graph.forward

    def compile_with_backend(module: nn.Module, **options: bool) -> None:
        compile_module(module, backend=backend, **options)

    compile_module = nn.Module.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "compile", compile_with_backend)
        prepare_networks(icp, None, Recipe(merge_lora=False, compile_blocks=True))
    assert torch.equal(run(), expected)
    modules = [module for net in (icp.model.network, icp.model.guider) for module in net.modules()]
    blocks = [module for module in modules if type(module).__name__ == "BasicTransformerBlock"]
    assert 0 < len(graphs) < len(blocks), "blocks of one shape share a graph"


def test_released_pages():
    recipe = replace(RELEASED, sampling=replace(RELEASED.sampling, num_inference_steps=STEPS))
    pipe = make(recipe)
    size = (PAGE_SIZE[0] * 3 // 2, PAGE_SIZE[1] * 3 // 2)
    output = pipe(PAGE, REFERENCES, seed=3)
    assert output.image.size == size
    query = fit_page(fit_page(PAGE.convert("RGB"), size).convert("L"), PAGE_SIZE)
    assert gap(output.canvas.crop(query_box(PAGE_SIZE)), query) == 0
    assert output.result_canvas is not None
    assert gap(output.low_res, output.result_canvas.crop(query_box(PAGE_SIZE))) == 0
    assert gap(pipe(PAGE, REFERENCES, seed=3).image, output.image) == 0
    other = pipe(PAGE, REFERENCES, seed=3, guide=Image.new("L", PAGE.size, 128))
    assert gap(other.low_res, output.low_res) == 0
    assert gap(other.image, output.image) > 1


def test_truncation():
    values = torch.tensor([-1.0, -0.999, 0.003, 1.0]).expand(3, 1, 4)
    assert pixels(to_image(values, truncate=True))[0, :, 0].tolist() == [0, 0, 127, 255]
    assert pixels(to_image(values))[0, :, 0].tolist() == [0, 0, 128, 255]


@pytest.mark.parametrize("cached", [False, True])
def test_references_are_embedded_again_only_without_the_cache(cached):
    pipe = make(replace(LEAN, sampling=Sampling(1), cache_references=cached))
    encoder = pipe.retriever.encoder  # type: ignore[attr-defined]
    pages = []
    for count in (1, 2):
        pages.append(pipe(PAGE, REFERENCES, seed=1))
        views = 5 * len(REFERENCES)
        assert encoder.seen == (views if cached else count * views) + 4 * count
    assert pages[0].retrieved == pages[1].retrieved
    pool = pipe.index(REFERENCES)
    before = encoder.seen
    pipe(PAGE, pool)
    assert encoder.seen == before + 4, "what was indexed by hand is embedded again"


def test_loading_applies_the_recipe(tmp_path):
    save_export(tiny_model().eval(), tmp_path / "export", PAGE_SIZE, RetrievalSettings(kind="hog"))
    lean = load_pipeline(tmp_path / "export", device="cpu")
    assert lean.recipe == replace(LEAN, sampling=lean.sampling)
    assert lean.sampling == Sampling(10)
    assert not any("lora_" in name for name, _ in lean.icp.model.network.named_parameters())
    assert lean.retriever.cached_pages > 0  # type: ignore[attr-defined]
    rows = colorflow_rows(str(tmp_path / "export"), [Row()], RELEASED, device="cpu")
    released = rows["colorflow"].build()  # type: ignore[misc]
    assert isinstance(released, ColorFlowPipeline)
    assert (released.recipe, released.sampling) == (RELEASED, RELEASED.sampling)
    assert any("lora_" in name for name, _ in released.icp.model.network.named_parameters())
    assert released.retriever.cached_pages == 0  # type: ignore[attr-defined]
    other = colorflow_rows(str(tmp_path / "export"), [Row()], LEAN, device="cpu")
    assert other["colorflow"].fingerprint != rows["colorflow"].fingerprint, "pages of another recipe would be kept"


# Configuration.


@pytest.mark.parametrize(("name", "recipe"), [("lean", LEAN), ("released", RELEASED)])
@pytest.mark.parametrize("main", ["colorize", "evaluate", "train"])
def test_config_group(main, name, recipe):
    """The files state every field, and state the values of the Python constants; `lean` is what nothing asks for."""
    cfg = compose_config(main, [f"recipe={name}"])
    assert config.build(cfg.recipe) == recipe
    assert cfg.recipe.keys() - {"_target_"} == {field.name for field in fields(Recipe)}
    used = cfg.pipeline if main == "colorize" else cfg.method
    assert used.recipe == cfg.recipe
    assert config.build(compose_config(main, []).recipe) == LEAN
