"""Styles in shards, benchmarks and runs: what is stored, what is said of it, and what stands in for missing weights."""

import json
import logging
import math
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny.benchmark import write_chapters as write_pages
from tiny.comics import SIZE, BlockEncoder, tiny_build, write_chapters
from tiny.runs import call_main, tiny_config
from tiny.styles import seeded

from colorflow import config
from colorflow.data.page_transform import PageTransform
from colorflow.data.shards.build import build_shards
from colorflow.data.shards.index import INDEX, read_index
from colorflow.data.shards.sample import ShardDataset
from colorflow.data.sources import ChapterSource
from colorflow.data.transforms import CanvasTransform
from colorflow.evaluation.bench.benchmark import BenchmarkError, read_benchmark
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.evaluation.bench.sources import toon_benchmark
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.schema import ColorizationSample
from colorflow.styles.augmentation import screenstyle
from colorflow.styles.compose import Interpolated, Mixed
from colorflow.styles.gray import GrayStyle
from colorflow.styles.procedural.style import ProceduralStyle
from colorflow.styles.recorded import RecordedStyle
from colorflow.toon import ToonSpec
from colorflow.utils.seeding import generator
from colorflow.utils.tensors import CheckpointError
from data import build_benchmark as benchmark_script
from data import build_shards as shards_script

PRINT = ProceduralStyle(scan=None)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("styled")
    root = write_chapters(folder / "in", chapters=2, pages=3)
    samples = ChapterSource(root, SIZE, SimilarityRetriever(BlockEncoder()), folder / "cache", 0).splits().train
    pages = {samples[number].page_id: samples[number] for number in range(len(samples))}
    return build_shards(tiny_build(root, styles=(PRINT,)), folder / "out"), pages


def test_shards_hold_renditions_without_loss_and_say_how_they_were_made(built):
    index, samples = built
    stored = ShardDataset(index, "train")
    assert stored.styles == {"procedural": json.loads(json.dumps(PRINT.describe()))}
    for number in range(len(stored)):
        sample = stored[number]
        original = samples[sample.page_id]
        expected = PRINT(original.page, generator("rendition", original.page_id, "procedural"))
        assert sample.renditions.keys() == {"procedural"}
        assert np.array_equal(sample.renditions["procedural"], expected)


def test_an_index_that_is_scanned_again_knows_the_styles(built, tmp_path):
    root = shutil.copytree(built[0].root, tmp_path / "copy")
    (root / INDEX).unlink()
    assert read_index(root).styles == built[0].styles != {}
    assert json.loads((root / INDEX).read_text())["styles"] == built[0].styles


def test_training_takes_the_recorded_rendition_and_no_other(built):
    sample = ShardDataset(built[0], "train")[1]
    style = Interpolated(GrayStyle(), RecordedStyle("procedural"), (1, 1))
    page = PageTransform(SIZE, style)(sample, 0, 0)
    expected = np.asarray(sample.renditions["procedural"]).astype(float) / 127.5 - 1
    assert np.allclose(page.gray[0].permute(1, 2, 0), expected, atol=1e-5)
    for outer in (style, Mixed((style,))):
        canvas = CanvasTransform(SIZE, SIZE, outer).canvases(sample, 0, 0)[1]
        query = canvas.crop((SIZE[0] // 2, SIZE[1] // 2, SIZE[0] * 3 // 2, SIZE[1] * 3 // 2))
        assert np.array_equal(query, sample.renditions["procedural"])
    transform = CanvasTransform(SIZE, SIZE, RecordedStyle("screenstyle"))
    with pytest.raises(ValueError, match=r"'screenstyle', got \['procedural'\].*style=screenstyle"):
        transform(sample, 0, 0)
    with pytest.raises(ValueError, match=r"expected a rendition of the page's size \(32, 48\), got \(3, 4\)"):
        transform(ColorizationSample("a/b", sample.page, (), {"screenstyle": Image.new("L", (3, 4))}), 0, 0)


def test_a_benchmark_holds_every_style_once_and_its_settings(tmp_path):
    source = write_pages(tmp_path / "source", {"a": 3, "b": 2})
    benchmark = build_benchmark(source, tmp_path / "out", styles=[GrayStyle(), PRINT], progress=False)
    assert benchmark.styles == ("gray", "procedural")
    index = json.loads((benchmark.root / "benchmark.json").read_text())
    described = {"gray": GrayStyle().describe(), "procedural": PRINT.describe()}
    assert index["style_settings"] == json.loads(json.dumps(described))
    for page in benchmark.pages:
        printed, color = np.asarray(benchmark.input(page, "procedural")), benchmark.target(page)
        assert printed.shape == np.asarray(color).shape
        assert (printed == printed[..., :1]).all()
        assert not np.array_equal(printed, benchmark.input(page, "gray"))
    again = build_benchmark(source, tmp_path / "again", styles=[PRINT], name="out", progress=False)
    assert again.digest == benchmark.digest
    with pytest.raises(BenchmarkError, match="differs in style_settings"):
        build_benchmark(source, tmp_path / "out", styles=[ProceduralStyle()], progress=False)
    with pytest.raises(BenchmarkError, match="one of each name, got gray, procedural, procedural; leave one"):
        build_benchmark(tmp_path / "nowhere", tmp_path / "new", styles=[PRINT, ProceduralStyle()], progress=False)


def test_the_toon_benchmark_has_a_folder_for_each_choice_of_styles(tmp_path):
    asked = (tmp_path, 2, 2, ToonSpec(size=(64, 96), max_panels=1), 7)
    gray, printed = toon_benchmark(*asked), toon_benchmark(*asked, styles=[PRINT])
    assert gray != printed == toon_benchmark(*asked, styles=[PRINT])
    assert read_benchmark(gray).styles == ("gray",)
    assert read_benchmark(printed).styles == ("gray", "procedural")


def test_without_weights_nothing_takes_their_place_unless_told(caplog):
    with pytest.raises(CheckpointError, match=r"set style\.weights to where it lies"):
        screenstyle(None)
    with caplog.at_level(logging.WARNING):
        gray, printed = screenstyle(None, "gray"), screenstyle(None, "procedural", weight=[0.5, 0.5])
    assert [record.message.split(":")[1].split()[0] for record in caplog.records] == ["gray", "procedural"]
    assert isinstance(gray, GrayStyle)
    assert (printed.name, printed.describe()["weight"]) == ("procedural", [0.5, 0.5])
    with pytest.raises(ValueError, match="expected error, gray or procedural"):
        screenstyle(None, "silence")


def test_with_weights_the_paper_style_is_on_whatever_would_stand_in(style_weights, tmp_path):
    style = screenstyle(style_weights, "gray", weight=[1, 1])
    page = Image.effect_noise((40, 48), 80).convert("RGB")
    assert style.name == "screenstyle"
    assert style.describe()["second"]["class"] == "ScreenVAEStyle"
    assert style(page, seeded()).tobytes() != GrayStyle()(page, seeded()).tobytes()
    with pytest.raises(CheckpointError, match="found none"):
        screenstyle(tmp_path / "elsewhere", "gray")  # weights that are named are meant


STEP = ("trainer.max_steps=1", "trainer.limit_val_batches=0", "lr_scheduler.num_warmup_steps=0")


def fit(cfg):
    datamodule, task = config.build(cfg.data.datamodule), config.build(cfg.task)
    trainer = config.build(cfg.trainer, callbacks=[config.build(cfg.callbacks.run_record)], logger=False)
    trainer.fit(task, datamodule=datamodule)
    assert math.isfinite(trainer.callback_metrics["train/loss"])
    with open(f"{cfg.paths.run_dir}/run.json") as file:
        return json.load(file)["style"]


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["style=mixed"], "mixed"),
        (["style=procedural", "style.second.bitonal=0.5"], "procedural"),
        pytest.param(["style.without_weights=procedural"], "procedural", marks=pytest.mark.slow),
        ([], "gray"),
        (["style=screenstyle", "style.weights={weights}", "style.height=64"], "screenstyle"),
        pytest.param(
            ["style=paper", "style.weights={weights}", "style.height=null"], "screenstyle", marks=pytest.mark.slow
        ),
        (["style=shading", "style.weights={weights}", "style.height=64"], "shading"),
    ],
)
def test_a_run_trains_with_a_style_and_records_it(toon_cache, tmp_path, style_weights, overrides, name):
    filled = [item.format(weights=style_weights) for item in overrides]
    record = fit(tiny_config(toon_cache, tmp_path / "run", *STEP, *filled))
    assert record["name"] == name
    assert record["recorded"] == {}
    assert not any(str(folder) in json.dumps(record) for folder in (tmp_path, style_weights))


def test_a_run_from_shards_records_how_their_renditions_were_made(built, tmp_path):
    index, _ = built
    overrides = ["data=shards", f"data.root={index.root}", "style=recorded", "style.second.name=procedural"]
    overrides += ["data.datamodule.source.val_split=null", "data.datamodule.num_workers=0"]
    overrides += ["data.datamodule.global_batch_size=2", "model.page_size=[32,48]", "model.train_size=[32,48]"]
    plain = ["experiment=icp_lora64", "model=toon", "weights=random", "trainer=cpu", f"paths.run_dir={tmp_path}/run"]
    cfg = config.compose_config("train", [*plain, "~callbacks.progress_bar", *STEP, *overrides])
    record = fit(cfg)
    assert record["second"] == {"name": "procedural", "class": "RecordedStyle"}
    assert record["recorded"]["procedural"]["class"] == "ProceduralStyle"


def test_the_scripts_take_a_style_by_name(tmp_path):
    source = write_chapters(tmp_path / "in", chapters=2, pages=3)
    given = (f"source={source}", f"output={tmp_path}/benchmark", "styles=[procedural,mixed]")
    assert call_main(benchmark_script, *given) is None
    assert read_benchmark(tmp_path / "benchmark").styles == ("gray", "procedural", "mixed")
    shards = (f"source={source}", f"output={tmp_path}/shards", "page_size=[32,48]", "val_chapters=1")
    assert call_main(shards_script, *shards, "style=procedural") is None
    settings = json.loads((tmp_path / "benchmark" / "benchmark.json").read_text())["style_settings"]["procedural"]
    assert settings["weight"] == [0.5, 0.5]
    assert settings["second"]["scan"]["share"] == 0.5
    assert read_index(tmp_path / "shards").styles["procedural"]["weight"] == [1.0, 1.0]


def test_a_benchmark_has_screenstyle_with_weights_and_print_in_its_place_without(style_weights, caplog):
    def named(*overrides):
        given = ["source=unused", "output=unused", *overrides]
        return [style.name for style in benchmark_script.build_styles(config.compose_config("build_benchmark", given))]

    released = f"style.weights={style_weights}"
    assert named(released) == ["screenstyle"]
    assert named(released, "styles=[sketch,gray,shading]") == ["sketch", "shading"]
    assert caplog.text == ""
    assert named() == ["procedural"]
    assert "procedural pages take the place" in caplog.text
    assert "style.weights=FOLDER" in caplog.text
    for wrong in ("[gray,manga]", "procedural"):
        with pytest.raises(BenchmarkError, match=r"styles: expected a list, any of \[gray,screenstyle,procedural,"):
            named(f"styles={wrong}")


@pytest.mark.parametrize(
    ("script", "more"),
    [(benchmark_script, "style.screenstyle.without_weights=error"), (shards_script, "style=screenstyle")],
)
def test_the_scripts_say_which_weights_are_missing(tmp_path, script, more):
    source = write_chapters(tmp_path / "in", chapters=2, pages=3)
    message = call_main(script, f"source={source}", f"output={tmp_path}/out", more)
    assert message is not None
    assert "rror: style.weights: expected a folder with ScreenStyle/" in message
    assert "\n" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
