"""The toon weights that come with the package: found by name, and they colour by reference."""

from pathlib import Path

from PIL import Image
from torch import Tensor

from colorflow.metrics import chroma_psnr
from colorflow.metrics.catalog.part_accuracy import judged_parts
from colorflow.metrics.pages import PagePair
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.export import SHIPPED, find_export
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import to_tensor


def test_the_weights_that_come_with_the_package_colour_by_reference():
    pipeline = ColorFlowPipeline.from_pretrained("toon")
    assert pipeline.gsrp is not None
    spec = ToonSpec(size=(192, 288), min_cast=2, max_cast=3, max_panels=2, own_luminance=True, hue_span=0.25)
    (page, *others), wrong = draw_chapter(1003, 4, spec), draw_chapter(1005, 3, spec)
    gray, truth = page.color.convert("L").convert("RGB"), as_unit(page.color)
    pools = [pipeline.index([drawn.color for drawn in chapter]) for chapter in (others, wrong)]
    right, misled = (as_unit(output.image) for output in pipeline.batch([gray] * 2, pools, seeds=[0, 0]))
    assert chroma_psnr(right, truth) > chroma_psnr(as_unit(gray), truth) + 1
    assert chroma_psnr(right, truth) > chroma_psnr(misled, truth) + 1


def test_those_of_identity_color_each_character_by_its_references():
    """Where every chapter has the whole hue wheel, so that another chapter's references tell nothing."""
    pipeline = ColorFlowPipeline.from_pretrained("toon_identity")
    assert pipeline.sampling.steps == 1
    spec = ToonSpec(size=(192, 288), min_cast=2, max_cast=3, max_panels=2, own_luminance=True)
    (page, *others), wrong = draw_chapter(1003, 6, spec), draw_chapter(1005, 5, spec)
    pools = [pipeline.index([drawn.color for drawn in chapter]) for chapter in (others, wrong)]
    outputs = pipeline.batch([page.color] * 2, pools, seeds=[0, 0])
    truth = page.color.resize(pipeline.page_size)
    right, misled = (judged_parts(PagePair.of(output.image, truth, page.parts))[:, 0].mean() for output in outputs)
    assert right > misled + 0.2


def as_unit(image: Image.Image) -> Tensor:
    return to_tensor(image)[None] / 2 + 0.5


def test_a_folder_of_a_shipped_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_export("toon") == SHIPPED["toon"]
    assert (SHIPPED["toon"] / "model_index.json").is_file()
    assert find_export("elsewhere") == Path("elsewhere")
    (tmp_path / "toon").mkdir()
    assert find_export("toon") == Path("toon")
