"""The demo in a real browser: upload, look up, colour, another seed, zip; refusals; nothing fetched from elsewhere."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, opened
from PIL import Image
from tiny.benchmark import color_page
from tiny.models import PAGE_SIZE, tiny_model

from colorflow.demo.limits import Limits
from colorflow.demo.studio import Studio
from colorflow.pipelines.colorflow import load_pipeline
from colorflow.pipelines.export import save_export
from colorflow.retrieval.settings import RetrievalSettings

pytest.importorskip("gradio", reason="needs Gradio: pip install -r requirements-demo.txt")

SIZES = {"p1": (40, 56), "p2": (64, 48)}
NARROW = 390
GRADIOS_OWN = "Method not implemented."
"""What Gradio writes to the console whenever a file is uploaded."""

PATIENCE = 60_000  # milliseconds: a model computes behind the page


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo of tiny random weights, served for this computer alone."""
    from colorflow.demo.page import open_page

    folder = tmp_path_factory.mktemp("demo")
    save_export(tiny_model().eval(), folder / "export", PAGE_SIZE, RetrievalSettings(kind="hog"))
    studio = Studio(load_pipeline(folder / "export", device="cpu"), Limits(megapixels=0.2), folder / "studio")
    with open_page(studio) as demo:
        yield demo


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


@contextmanager
def window(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """The demo in a window of its own; fails if it complains or fetches anything from elsewhere."""
    with opened(browser, address, **options) as watched:
        watched.page.set_default_timeout(PATIENCE)
        yield watched.page
        watched.errors[:] = [error for error in watched.errors if error != GRADIOS_OWN]


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with window(browser, address, color_scheme="light") as opened_page:
        yield opened_page


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two pages to colour, three references, and two files that are refused."""
    folder = tmp_path_factory.mktemp("files")
    for name, size in SIZES.items():
        color_page(1, size).convert("L").save(folder / f"{name}.png")
    for number in range(3):
        color_page(50 + number).save(folder / f"cover{number}.jpg")
    (folder / "story.png").write_text("once upon a time")
    Image.new("L", (500, 500)).save(folder / "large.png")
    return {
        "pages": [folder / f"{name}.png" for name in SIZES],
        "references": sorted(folder.glob("cover*.jpg")),
        "refused": [folder / "story.png", folder / "large.png"],
    }


def upload(page: Any, kind: str, paths: list[Path]) -> None:
    page.locator(f"#cf-{kind} input[type=file]").set_input_files(paths)


def status(page: Any, words: str) -> str:
    found = page.locator("#cf-status .cf-notice", has_text=re.compile(words))
    found.wait_for()
    return found.inner_text()


def shown(page: Any) -> list[str]:
    """Addresses of both pictures of the comparison, once they are there."""
    page.locator("#cf-slider img").nth(1).wait_for()
    return [image.get_attribute("src") for image in page.locator("#cf-slider img").all()]


def test_from_upload_to_zip(page, files, tmp_path):
    upload(page, "pages", files["pages"])
    page.locator("#cf-pages-note li").nth(1).wait_for()
    assert page.locator("#cf-pages-note li span").all_inner_texts() == ["p1", "p2"]
    upload(page, "references", files["references"])
    page.locator("#cf-references-note li").nth(2).wait_for()

    page.click("#cf-look")
    page.locator("#cf-looks .cf-slot").nth(11).wait_for()
    assert page.locator("#cf-looks .cf-found tbody tr").count() == 4
    mark, canvas = page.locator(".cf-slot.cf-TL").first.bounding_box(), page.locator(".cf-canvas").bounding_box()
    assert mark["x"] < canvas["x"] + canvas["width"] / 4
    assert page.locator(".cf-corner.cf-TL").evaluate("one => getComputedStyle(one).opacity") == "0"
    page.locator(".cf-slot.cf-TL").first.focus()
    page.wait_for_function("getComputedStyle(document.querySelector('.cf-corner.cf-TL')).opacity === '1'")

    page.get_by_role("checkbox", name="cover2").uncheck()
    page.click("#cf-color")
    assert "Version 1: seed 0, 2 references. 2 of 2 pages coloured" in status(page, "coloured in")
    first = shown(page)
    page.click("#cf-again")
    assert "Version 2: seed 1, 2 references. 2 of 2 pages coloured" in status(page, "Version 2.*coloured in")
    second = shown(page)
    assert first[1] != second[1]
    page.get_by_role("tab", name="References").click()
    assert "cover2" not in page.locator("#cf-looks").inner_text()

    with page.expect_download() as download:
        page.locator("#cf-zip").click()
    assert download.value.suggested_filename == "chapter-version-2-seed-1.zip"
    download.value.save_as(tmp_path / "chapter.zip")
    with zipfile.ZipFile(tmp_path / "chapter.zip") as archive:
        assert archive.namelist() == ["p1.png", "p2.png"]
        archive.extractall(tmp_path)
    for name, size in SIZES.items():
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert (picture.format, picture.size) == ("PNG", size)
            assert picture.convert("RGB").getextrema()[0] != picture.convert("RGB").getextrema()[2]


def test_refused_files_are_named_with_their_reason(page, files):
    upload(page, "pages", [*files["refused"], files["pages"][0]])
    page.locator("#cf-pages-note [role=alert]").wait_for()
    said = page.locator("#cf-pages-note [role=alert]").inner_text()
    assert (
        "story.png: this is no picture that can be read. It is named like a picture but holds something else." in said
    )
    assert "large.png: 500 x 500 pixels. A picture may have 0.2 megapixels here." in said
    assert page.locator("#cf-pages-note li span").all_inner_texts() == ["p1"]


def test_nothing_to_colour_is_said(page):
    page.click("#cf-color")
    assert status(page, "Upload") == "Upload a page to colour first."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(browser, address, files, scheme):
    with window(browser, address, width=NARROW, color_scheme=scheme) as page:
        page.get_by_role("button", name="Example 1").click()
        page.locator("#cf-references-note li").nth(4).wait_for()
        page.click("#cf-look")
        page.locator("#cf-looks .cf-slot").nth(11).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
        assert page.locator("#cf-looks .cf-canvas").bounding_box()["width"] > 0.8 * NARROW
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")
