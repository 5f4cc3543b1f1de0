"""Guided super-resolution in use: the page's own size, the export folder, rows with and without it."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny.comics import BlockEncoder, draw_page
from tiny.models import PAGE_SIZE, noise, randomize, tiny_base, tiny_model, tiny_pipeline
from tiny.recipes import fusion, pixels
from tiny.runs import loader, tiny_config, trainer

from colorflow import config
from colorflow.callbacks.ema import EMA
from colorflow.callbacks.export import Export
from colorflow.data.page_transform import PageTransform
from colorflow.evaluation.rows.exports import Row, colorflow_rows
from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.models.gsrp.model import GSRPModel
from colorflow.models.icp_model import ICPModel
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.export import load_export, save_export, save_gsrp
from colorflow.pipelines.gsrp import super_resolve
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.recipes import Recipe
from colorflow.retrieval.retriever import SimilarityRetriever, reference_pool
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import ColorizationSample
from colorflow.styles.gray import GrayStyle
from colorflow.tasks.degradation import Downsample
from colorflow.tasks.gsrp_task import GSRPTask
from colorflow.utils.images import to_image, to_tensor

pytestmark = pytest.mark.filterwarnings("ignore:.*self.log.*", "ignore:.*num_workers.*", "ignore:.*eval mode.*")

FAST = Sampling(num_inference_steps=1)
NONE = RetrievalSettings(kind="none")
WEIGHTS = "diffusion_pytorch_model.safetensors"
PAGE = draw_page(77, (70, 110))
WIDE = draw_page(78, (120, 60))
"""`PAGE` has the canvas page's aspect and is stretched; of this one the centre alone fits."""


@pytest.fixture(scope="module")
def model() -> ICPModel:
    return tiny_model().eval()


@pytest.fixture(scope="module")
def gsrp(model: ICPModel) -> GSRPModel:
    return GSRPModel(model.vae, fusion()).eval()


@pytest.fixture(scope="module")
def pristine(model: ICPModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "export"
    save_export(model, folder, PAGE_SIZE, NONE, fusion())
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "export")


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and bool((pixels(one) == pixels(other)).all())


def assert_same(one: FusionNetwork, other: FusionNetwork) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("page", [PAGE, WIDE, PAGE.convert("L")], ids=["stretched", "cropped", "gray"])
def test_super_resolution_keeps_size_and_aspect(gsrp, page):
    color = draw_page(5, PAGE_SIZE)
    found = super_resolve(gsrp, page, color)
    assert found.size == page.size
    assert same(found, super_resolve(gsrp, page.convert("L"), color)), "only luminance is read"
    if page is WIDE:  # what did not fit on the canvas has no colour to show
        edge = pixels(found)[:, :20]
        assert (edge == pixels(page.convert("L"))[:, :20, None]).all()
    else:
        gray = to_tensor(page.convert("L"))[None]
        with torch.no_grad():
            assert same(found, to_image(gsrp(gray, to_tensor(color)[None])[0]))
    assert not same(found, super_resolve(gsrp, page, draw_page(6, PAGE_SIZE)))


def test_the_pipeline_takes_its_own_result_further(model, gsrp):
    retriever, references = SimilarityRetriever(BlockEncoder()), [draw_page(seed) for seed in range(2)]
    icp = tiny_pipeline(model)
    plain = ColorFlowPipeline(icp, retriever, PAGE_SIZE, FAST)
    whole = ColorFlowPipeline(icp, retriever, PAGE_SIZE, FAST, gsrp=gsrp)
    small, large = plain(PAGE, references, seed=3), whole(PAGE, references, seed=3)
    assert small.image.size == PAGE_SIZE
    assert large.image.size == PAGE.size
    assert same(small.low_res, large.low_res)
    assert same(large.image, super_resolve(gsrp, PAGE, large.low_res))
    pool = reference_pool(["a", "b"], references)
    assert same(whole.colorize(PAGE, pool, seed=3), large.image)


@pytest.mark.parametrize("page", [PAGE, WIDE], ids=["stretched", "cropped"])
def test_luminance_can_be_kept_after_it(model, gsrp, page):
    retriever = SimilarityRetriever(BlockEncoder())
    pipe = ColorFlowPipeline(tiny_pipeline(model), retriever, PAGE_SIZE, FAST, keep_luminance=True, gsrp=gsrp)
    output = pipe(page, [draw_page(1)], seed=3)
    expected = super_resolve(gsrp, page, output.low_res).convert("YCbCr").split()
    luminance, blue, red = output.image.convert("YCbCr").split()
    assert output.image.size == page.size
    inside = (pixels(output.image).min(-1) > 0) & (pixels(output.image).max(-1) < 255)  # not cut at the gamut's edge
    assert inside.mean() > 0.2
    assert np.abs(pixels(luminance) - pixels(page.convert("L")))[inside].max() <= 2
    for found, wanted in ((blue, expected[1]), (red, expected[2])):
        assert np.abs(pixels(found) - pixels(wanted))[inside].max() <= 2


@pytest.mark.parametrize(("norm_mode", "upsample_mode"), [("batch", "bilinear"), ("running", "bicubic")])
def test_round_trip(model, tmp_path, norm_mode, upsample_mode):
    net = fusion(norm_mode, upsample_mode)
    randomize_statistics(net)
    save_export(model, tmp_path / "export", PAGE_SIZE, NONE, net)
    files = {path.name for path in (tmp_path / "export" / "gsrp").iterdir()}
    assert files == {"config.json", WEIGHTS}
    loaded = load_export(tmp_path / "export")
    assert loaded.gsrp is not None
    assert_same(loaded.gsrp.fusion, net)
    assert loaded.gsrp.vae is loaded.model.vae, "one VAE in memory"
    assert not loaded.gsrp.training
    assert (loaded.gsrp.fusion.config.norm_mode, loaded.gsrp.fusion.config.upsample_mode) == (norm_mode, upsample_mode)
    gray, low = to_tensor(PAGE.convert("L"))[None], to_tensor(draw_page(2, PAGE_SIZE))[None]
    with torch.no_grad():
        expected = GSRPModel(model.vae, net).eval()(gray, low)
        torch.testing.assert_close(loaded.gsrp(gray, low), expected, atol=1e-6, rtol=1e-6)


def randomize_statistics(net: FusionNetwork) -> None:
    source = torch.Generator().manual_seed(8)
    for name, buffer in net.named_buffers():
        if "running" in name:
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=source))


def test_pretrained_pipeline_runs_it(pristine, tmp_path):
    pipe = ColorFlowPipeline.from_pretrained(pristine, torch_dtype=torch.bfloat16)
    assert pipe.gsrp is not None
    assert pipe.gsrp.fusion.dtype == torch.bfloat16
    assert pipe(PAGE, [], sampling=FAST).image.size == PAGE.size
    without = shutil.copytree(pristine, tmp_path / "icp")
    shutil.rmtree(without / "gsrp")
    assert ColorFlowPipeline.from_pretrained(without).gsrp is None
    joined = ColorFlowPipeline.from_pretrained(without, gsrp=pristine)
    assert joined.gsrp is not None
    assert_same(joined.gsrp.fusion, fusion())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(max(tensors)), "1 missing"),
        (lambda tensors: tensors.update({"nowhere.weight": torch.zeros(2)}), "1 unexpected"),
        (lambda tensors: tensors.update({max(tensors): torch.zeros(1)}), "shape"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_damaged_weights_are_named(folder, change, message):  # type: ignore[no-untyped-def]
    file = folder / "gsrp" / WEIGHTS
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=message):
        load_export(folder)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_files_cut_short_are_named_with_the_remedy(folder, share):
    files = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json")]
    assert {path.relative_to(folder).parts[0] for path in files} > {"guider", "lora", "gsrp", "base", "scheduler"}
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=r"expected .*, got (?s:.*)export the run again") as caught:
            load_export(folder)
        assert str(file) in str(caught.value)
        file.write_bytes(whole)
    load_export(folder)


@pytest.mark.parametrize("part", ["config.json", WEIGHTS])
def test_half_a_folder_is_refused(folder, part):
    (folder / "gsrp" / part).unlink()
    with pytest.raises(FileNotFoundError, match=r"expected gsrp/ with config\.json and weights"):
        load_export(folder)


def test_another_folders_network_is_checked(folder, pristine):
    save_gsrp(FusionNetwork((8, 8, 8)), folder / "other")
    with pytest.raises(ValueError, match="use it with the family it was trained for"):
        load_export(folder, gsrp=folder / "other")
    (folder / "gsrp" / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=r"gsrp/diffusion_pytorch_model\.safetensors.*got a Git LFS pointer instead"):
        load_export(pristine, gsrp=folder)


def test_rows_with_and_without(pristine, tmp_path):
    rows = [Row("colorflow", gsrp=True), Row("colorflow_icp", gsrp=False), Row("whatever_there_is")]
    specs = colorflow_rows(str(pristine), rows, Recipe(FAST), device="cpu")
    built = {name: spec.build() for name, spec in specs.items() if spec.build is not None}
    assert [method.gsrp is not None for method in built.values()] == [True, False, True]  # type: ignore[attr-defined]
    assert len({spec.fingerprint for spec in specs.values()}) == 3
    pool = reference_pool([], [])
    sizes = {name: method.colorize(PAGE, pool, seed=0).size for name, method in built.items()}
    assert sizes == {"colorflow": PAGE.size, "colorflow_icp": PAGE_SIZE, "whatever_there_is": PAGE.size}
    without = shutil.copytree(pristine, tmp_path / "icp")
    shutil.rmtree(without / "gsrp")
    with pytest.raises(FileNotFoundError, match="expected an export folder with gsrp/ for colorflow, got"):
        colorflow_rows(str(without), rows, Recipe(FAST))
    joined = colorflow_rows(str(without), rows, Recipe(FAST), device="cpu", gsrp=str(pristine))
    assert joined["colorflow"].fingerprint != specs["colorflow"].fingerprint
    assert joined["colorflow"].build().gsrp is not None  # type: ignore[misc, union-attr]


def test_a_training_run_exports_the_average_beside_the_colorizer(pristine, tmp_path):
    without = shutil.copytree(pristine, tmp_path / "icp")
    shutil.rmtree(without / "gsrp")
    vae = tiny_model().vae
    task = GSRPTask(GSRPModel(vae, fusion()), [Downsample(PAGE_SIZE)], functools.partial(torch.optim.SGD, lr=0.1))
    sample = ColorizationSample("c/1", draw_page(1), ())
    batches = [PageTransform(PAGE_SIZE, GrayStyle())(sample, 0, position) for position in range(2)]
    for colorizer in (None, str(without)):
        ema, export = EMA(0.9), Export(str(tmp_path / "export"), PAGE_SIZE, NONE, colorizer)
        trainer(max_steps=2, callbacks=[ema, export]).fit(task, loader(*batches))
        exported = load_file(tmp_path / "export" / "gsrp" / WEIGHTS)
        assert ema.model is not None
        for name, value in zip(task.trainable(), ema.model.shadow_params, strict=True):
            assert torch.equal(exported[name.removeprefix("model.fusion.")], value)
    assert load_export(tmp_path / "export").gsrp is not None
    assert json.loads((tmp_path / "export" / "model_index.json").read_text())["page_size"] == list(PAGE_SIZE)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(FileNotFoundError, match="colorizer: expected the export folder of an ICP run"):
        Export(str(tmp_path / "export"), PAGE_SIZE, NONE, str(tmp_path))


def test_the_grid_shows_page_input_result_and_truth(toon_cache, tmp_path):
    sizes = ["model.gsrp.page_size=[64,96]", "model.page_size=[32,48]"]
    short = ["trainer.max_steps=1", "trainer.val_check_interval=1", "callbacks.sample_grid.pages=2"]
    cfg = tiny_config(toon_cache, tmp_path, *sizes, *short, experiment="gsrp")
    callbacks = config.build(cfg.callbacks)
    data, task = config.build(cfg.data.datamodule), config.build(cfg.task)
    loggers = list(config.build(cfg.logger).values())
    config.build(cfg.trainer, callbacks=list(callbacks.values()), logger=loggers).fit(task, datamodule=data)
    grid = Image.open(tmp_path / "samples" / "step_0000001.png")
    assert grid.size == (2 * (64 + 4) + 4, 4 * (96 + 4) + 4)
    batch = data.validation_batch([0, 1])
    for row, images in ((0, batch.gray), (3, batch.target)):
        top = 4 + row * 100
        assert same(grid.crop((4, top, 68, top + 96)), to_image(images[0]))


def test_a_vae_of_its_own_goes_with_super_resolution(tmp_path):
    """Of a colorizer whose codec has no levels: saved beside the fusion network, and found again."""
    own = tiny_base(seed=9).vae
    model = GSRPModel.from_vae(own, own_vae=True).eval()
    randomize(model.fusion, "weight")
    save_export(tiny_model().eval(), tmp_path / "colorizer", PAGE_SIZE, NONE)
    save_gsrp(model.fusion, tmp_path / "both", tmp_path / "colorizer", own)
    loaded = load_export(tmp_path / "both")
    assert loaded.gsrp is not None
    assert loaded.gsrp.vae is not loaded.model.vae
    gray, color = noise(1, 3, 64, 48, seed=1).clamp(-1, 1), noise(1, 3, 32, 24, seed=2).clamp(-1, 1)
    expected = model(gray, color)
    torch.testing.assert_close(loaded.gsrp(gray, color), expected)
    pipeline = ColorFlowPipeline.from_pretrained(tmp_path / "both")
    pipeline.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(load_export(tmp_path / "again").gsrp(gray, color), expected)
    shared = load_export(tmp_path / "both", gsrp=None).model.vae
    assert not torch.allclose(GSRPModel(shared, model.fusion)(gray, color), expected, atol=1e-3)
