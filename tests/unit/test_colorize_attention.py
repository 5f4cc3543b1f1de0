"""Attention maps of chapters: drawn beside the results, which they do not change, and only where they are due."""

from pathlib import Path

import pytest
from PIL import Image
from tiny.benchmark import color_page, write_chapters
from tiny.comics import BlockEncoder
from tiny.models import PAGE_SIZE, tiny_pipeline
from tiny.painter import gray_chapters, is_marked

import colorize
from colorflow.colorize.chapters import ChapterJob, ColorizeOptions, colorize_chapters, find_jobs
from colorflow.config import compose_config
from colorflow.data.chapters import DataError
from colorflow.pipelines.attention import AttentionSettings
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import Sampling
from colorflow.retrieval.retriever import SimilarityRetriever

REGION = (0.1, 0.1, 0.5, 0.5)


class Model:
    """A tiny pipeline and how often it was loaded and run."""

    def __init__(self) -> None:
        self.pipeline = ColorFlowPipeline(
            tiny_pipeline(), SimilarityRetriever(BlockEncoder()), PAGE_SIZE, Sampling(num_inference_steps=2)
        )
        self.loads = self.runs = 0
        encode = self.pipeline.icp.model.vae.encode

        def count(*given: object, **named: object) -> object:
            self.runs += 1
            return encode(*given, **named)

        self.pipeline.icp.model.vae.encode = count

    def load(self) -> ColorFlowPipeline:
        self.loads += 1
        return self.pipeline


@pytest.fixture
def jobs(tmp_path: Path) -> list[ChapterJob]:
    pages = gray_chapters(tmp_path / "pages", {"ep": 3})
    return find_jobs(pages, write_chapters(tmp_path / "refs", {"ep": 2}))


def options(region: tuple[float, ...] | None = REGION, **more: object) -> ColorizeOptions:
    attention = None if region is None else AttentionSettings(region, **more)
    return ColorizeOptions(progress=False, attention=attention)


def test_maps_are_drawn_while_colouring_and_change_nothing(jobs, tmp_path):
    plain, mapped = Model(), Model()
    colorize_chapters(plain.load, jobs, tmp_path / "plain", options(None))
    report = colorize_chapters(mapped.load, jobs, tmp_path / "out", options())
    assert mapped.runs == plain.runs, "a map takes no second run"
    assert (len(report.colored), report.warnings) == (3, {})
    for number in range(1, 4):
        name = f"p{number}.png"
        assert (tmp_path / "out/ep" / name).read_bytes() == (tmp_path / "plain/ep" / name).read_bytes()
        with Image.open(tmp_path / "out/ep/attention" / name) as picture:
            assert is_marked(picture)
    assert not (tmp_path / "plain/ep/attention").exists()


def test_maps_of_pages_that_are_there(jobs, tmp_path):
    colorize_chapters(Model().load, jobs, tmp_path / "out", options(None))
    results = {path: path.read_bytes() for path in (tmp_path / "out/ep").glob("p*.png")}
    one = Model()
    report = colorize_chapters(one.load, jobs, tmp_path / "out", options(pages=["ep/p2"]))
    assert (len(report.kept), report.colored, one.loads, one.runs) == (3, [], 1, 1)
    assert [path.name for path in (tmp_path / "out/ep/attention").iterdir()] == ["p2.png"]
    again, other = Model(), Model()
    colorize_chapters(again.load, jobs, tmp_path / "out", options(pages=["p2"]))
    assert again.loads == 0, "it is there"
    before = (tmp_path / "out/ep/attention/p2.png").read_bytes()
    colorize_chapters(other.load, jobs, tmp_path / "out", options((0.5, 0.5, 1, 1), pages=["p2"]))
    assert other.runs == 1, "another region is asked"
    assert (tmp_path / "out/ep/attention/p2.png").read_bytes() != before
    assert {path: path.read_bytes() for path in (tmp_path / "out/ep").glob("p*.png")} == results


def test_a_region_that_a_page_has_not_costs_no_page(jobs, tmp_path):
    report = colorize_chapters(Model().load, jobs, tmp_path / "out", options((10, 10, 300, 20)))
    assert (len(report.colored), report.failures) == (3, {})
    assert list(report.warnings) == [f"ep/p{number}" for number in range(1, 4)]
    assert "no attention map: attention region: expected a box [left" in report.warnings["ep/p1"]
    assert "in a page of 40 x 56 pixels" in report.warnings["ep/p1"]


def test_what_is_wrong_for_all_pages_ends_the_run_at_once(jobs, tmp_path):
    model = Model()
    with pytest.raises(DataError, match="attention pages: expected names of pages or chapter/name, got p9"):
        colorize_chapters(model.load, jobs, tmp_path / "out", options(pages=["p1", "p9"]))
    assert model.loads == 0
    with pytest.raises(ValueError, match=r"attention layer: expected one of down_blocks\..*; got 'attn'"):
        colorize_chapters(model.load, jobs, tmp_path / "out", options(layer="attn"))
    with pytest.raises(ValueError, match="attention steps: expected some of 0 to 1"):
        colorize_chapters(model.load, jobs, tmp_path / "out", options(steps=[2]))
    assert model.runs == 0


def test_the_command_takes_a_region(tmp_path, monkeypatch):
    pages = gray_chapters(tmp_path / "pages", {"ep": 2})
    model, build = Model(), colorize.config.build

    def instead(node, **more):
        return model.load() if "load_pipeline" in node._target_ else build(node, **more)

    monkeypatch.setattr(colorize.config, "build", instead)
    given = [f"pages={pages}", "references=null", f"output={tmp_path / 'out'}", "weights=unused"]
    asked = ["attention.region=[0,0,0.5,0.5]", "attention.steps=[0]", "attention.pages=[p2]", "options.progress=false"]
    report = colorize.colorize(compose_config("colorize", [*given, *asked]))
    assert len(report.colored) == 2
    assert [path.name for path in (tmp_path / "out/ep/attention").iterdir()] == ["p2.png"]


def test_strips_have_no_map_and_are_not_coloured_again_for_one(tmp_path):
    (tmp_path / "pages").mkdir()
    color_page(1, (40, 200)).convert("L").save(tmp_path / "pages" / "p1.png")
    jobs, again = find_jobs(tmp_path / "pages", None), Model()
    report = colorize_chapters(Model().load, jobs, tmp_path / "out", options())
    assert "no attention map: the page is coloured in 4 pieces" in report.warnings["pages/p1"]
    assert report.colored == ["pages/p1"]
    assert colorize_chapters(again.load, jobs, tmp_path / "out", options()).kept == ["pages/p1"]
    assert (again.loads, again.runs) == (0, 0)
