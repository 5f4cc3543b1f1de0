"""The demo without a page: what uploads are refused and in which words, versions, zips, look-ups, the command."""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny.benchmark import color_page
from tiny.models import PAGE_SIZE, tiny_model
from tiny.painter import is_marked

from colorflow.colorize.chapters import ColorizeOptions, colorize_chapters, find_jobs
from colorflow.demo import command, fragments
from colorflow.demo.examples import write_example
from colorflow.demo.limits import Limits
from colorflow.demo.studio import Studio
from colorflow.demo.uploads import UploadError, read_upload, read_uploads
from colorflow.demo.versions import KEPT, Session
from colorflow.pipelines.colorflow import ColorFlowPipeline, load_pipeline
from colorflow.pipelines.export import save_export
from colorflow.pipelines.recipes import LEAN, RELEASED
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.utils.color import is_colored
from colorflow.utils.images import load_image

SMALL = Limits(pages=3, references=4, megapixels=0.01, megabytes=0.05)
SIZES = [(40, 56), (50, 60), (64, 48)]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> ColorFlowPipeline:
    folder = tmp_path_factory.mktemp("demo") / "export"
    save_export(tiny_model().eval(), folder, PAGE_SIZE, RetrievalSettings(kind="hog"))
    return load_pipeline(folder, command.recipe("lean", 2), device="cpu")


@pytest.fixture
def studio(pipeline: ColorFlowPipeline, tmp_path: Path) -> Studio:
    return Studio(pipeline, Limits(), tmp_path / "studio")


@pytest.fixture
def session(studio: Studio, tmp_path: Path) -> Session:
    """Three pages, one a JPEG, and two references."""
    pages, references = tmp_path / "in" / "pages", tmp_path / "in" / "references"
    for folder in (pages, references):
        folder.mkdir(parents=True)
    for number, size in enumerate(SIZES, 9):
        color_page(number, size).convert("L").save(pages / f"第{number} page.{'jpg' if number == 10 else 'png'}")
    for number in range(2):
        color_page(50 + number).save(references / f"cover{number}.png")
    session = Session()
    studio.take_pages(session, list(pages.iterdir()))
    studio.take_references(session, list(references.iterdir()))
    return session


def ignore(*_: Any) -> None:
    """Watch nothing."""


def finish(studio: Studio, session: Session, seed: int = 0, chosen: tuple[str, ...] = ("cover0", "cover1")) -> Any:
    return list(studio.color(session, chosen, seed, ignore))[-1]


def text_named_png(path: Path) -> None:
    path.write_text("once upon a time")


def cut_short(path: Path) -> None:
    color_page(1).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:-300])


def animated(path: Path) -> None:
    frames = [color_page(number) for number in range(3)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


def two_pages(path: Path) -> None:
    color_page(1).save(path, format="TIFF", save_all=True, append_images=[color_page(2)])


def too_many_pixels(path: Path) -> None:
    Image.new("L", (101, 100)).save(path, format="PNG")


def too_many_bytes(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)).resize((99, 99)).save(
        path, format="TIFF"
    )
    path.write_bytes(path.read_bytes() + bytes(50_000))


def bomb(path: Path) -> None:
    """A header that promises more than Pillow opens."""
    Image.new("1", (20, 20)).save(path, format="PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.png", text_named_png, "a.png: this is no picture that can be read. It is named like a picture but holds"),
        ("notes.docx", text_named_png, "notes.docx: this is no picture that can be read. Use PNG, JPEG, WebP, TIFF"),
        ("drawing.svg", lambda path: path.write_text("<svg/>"), "drawing.svg: this is no picture that can be read."),
        ("a.eps", lambda path: color_page(1).save(path), "a.eps: this is no picture that can be read. Use PNG"),
        ("a.png", lambda path: path.touch(), "a.png: the file is empty. Export or copy it again."),
        ("a.png", lambda path: None, "a.png: it is not there any more. Upload it again."),
        ("a.png", cut_short, "a.png: the picture is damaged or cut short. Export or copy it again."),
        ("a.gif", animated, "a.gif: the picture is animated, with 3 frames. Save each page as a file of its own."),
        ("a.tif", two_pages, "a.tif: the picture has 2 pages. Save each page as a file of its own."),
        ("a.png", too_many_pixels, "a.png: 101 x 100 pixels. A picture may have 0.01 megapixels here. Save it smaller"),
        ("a.png", bomb, "a.png: A picture may have 0.01 megapixels here."),
        ("a.png", lambda path: Image.new("L", (90, 8)).save(path), "a.png: 90 x 8 pixels. A page has at least 16 on"),
        ("a.tif", too_many_bytes, "a.tif: 0.1 MB, more than the 0.05 MB that a file may have here. Save it smaller"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_words(
    name: str, make: Callable[[Path], Any], words: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(UploadError) as caught:
        read_upload(tmp_path / name, SMALL)
    assert str(caught.value).startswith(words)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF"])
def test_every_promised_format_is_taken(kind: str, tmp_path: Path) -> None:
    more = {"save_all": True, "append_images": [color_page(2)]} if kind == "MPO" else {}
    color_page(1).save(tmp_path / "a.picture", format=kind, **more)
    found = read_upload(tmp_path / "a.picture", SMALL)
    assert (found.page.name, found.size, found.colored) == ("a", (40, 56), True)


def test_pages_come_in_natural_order_and_the_first_of_a_name_is_kept(tmp_path: Path) -> None:
    for name in ("p10.png", "p2.png", "p2.jpg", "p1.png", "p11.png"):
        color_page(1).save(tmp_path / name)
    found = read_uploads(list(tmp_path.iterdir()), 3, SMALL)
    assert [item.page.name for item in found.accepted] == ["p1", "p2", "p10"]
    assert found.refused[0].startswith("p2.png: there is a page of this name already (p2.jpg)")
    assert found.refused[1:] == ("p11.png: one too many, 3 pictures are the most here.",)


@pytest.mark.parametrize("name", ["pages", "references", "megapixels", "megabytes"])
def test_a_limit_lets_something_pass(name: str) -> None:
    with pytest.raises(ValueError, match=f"--max-{name}: expected a number above 0, got 0"):
        Limits(**{name: 0})


def test_a_version_is_what_the_command_line_makes(studio: Studio, session: Session, tmp_path: Path) -> None:
    version = finish(studio, session, seed=7)
    folder = tmp_path / "in" / "pages"
    folder.rename(folder.with_name("chapter"))  # noise hangs on the chapter's name
    jobs = find_jobs(folder.with_name("chapter"), tmp_path / "in" / "references")
    options = ColorizeOptions(seed=7, progress=False, contact_sheet=False)
    colorize_chapters(lambda: studio.pipeline, jobs, tmp_path / "out", options)
    for name, file in version.results().items():
        expected = load_image(tmp_path / "out" / "chapter" / f"{name}.png")
        assert np.array_equal(np.asarray(load_image(file)), np.asarray(expected))
    assert len(version.results()) == 3


def test_another_seed_or_other_references_are_another_version(studio: Studio, session: Session) -> None:
    versions = [finish(studio, session), finish(studio, session, seed=1), finish(studio, session, chosen=("cover1",))]
    assert [version.title for version in versions] == [
        "Version 1: seed 0, 2 references",
        "Version 2: seed 1, 2 references",
        "Version 3: seed 0, 1 reference",
    ]
    files = [version.results()["第9 page"].read_bytes() for version in versions]
    assert len(set(files)) == 3
    shown = {patch.reference for one in versions[2].shown["第9 page"] for patch in one.retrieved}
    assert shown == {"reference/chapter/cover1"}


def test_the_zip_has_every_page_by_its_name_at_its_own_size(studio: Studio, session: Session, tmp_path: Path) -> None:
    file = finish(studio, session, seed=3).zip()
    assert file.name == "chapter-version-1-seed-3.zip"
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["第9 page.png", "第10 page.png", "第11 page.png"]
        archive.extractall(tmp_path / "unpacked")
    for name, size in zip(("第9 page", "第10 page", "第11 page"), SIZES, strict=True):
        with Image.open(tmp_path / "unpacked" / f"{name}.png") as picture:
            assert (picture.format, picture.size, is_marked(picture)) == ("PNG", size, True)


def test_a_page_in_colour_is_kept_and_looked_at(studio: Studio, session: Session) -> None:
    source = session.pages.accepted[1].page.path
    color_page(70).save(source)
    studio.take_pages(session, [item.page.path for item in session.pages.accepted])
    assert "in colour: stays as it is" in fragments.uploads(session.pages, expects_color=False)
    version = finish(studio, session, chosen=())
    assert np.array_equal(np.asarray(load_image(version.results()["第10 page"])), np.asarray(load_image(source)))
    assert set(version.shown) == {"第9 page", "第11 page"}
    assert {patch.reference for patch in version.shown["第9 page"][0].retrieved} == {"chapter/第10 page"}


def test_what_is_looked_up_first_is_what_the_model_is_then_shown(studio: Studio, session: Session) -> None:
    before = studio.look_up(session, "第10 page", ("cover0",), 5)
    after = finish(studio, session, 5, ("cover0",)).shown["第10 page"]
    assert [one.retrieved for one in before] == [one.retrieved for one in after]
    assert np.array_equal(np.asarray(before[0].canvas), np.asarray(after[0].canvas))
    html = fragments.looks(before)
    assert html.count('class="cf-slot') == 12
    assert "Best match for the top left of the page: cover0, " in html
    assert "the model has to guess" in fragments.looks(studio.look_up(session, "第10 page", (), 5))


def test_a_strip_shows_its_parts(studio: Studio, session: Session, tmp_path: Path) -> None:
    color_page(3, (40, 400)).convert("L").save(tmp_path / "strip.png")
    studio.take_pages(session, [tmp_path / "strip.png"])
    shown = studio.look_up(session, "strip", ("cover0",), 0)
    assert len(shown) > 1
    assert f"<h4>Part {len(shown)} of {len(shown)}</h4>" in fragments.looks(shown)


def test_steps_are_watched_and_stop_ends_the_next_one(studio: Studio, session: Session) -> None:
    seen: list[tuple[int, int, str, int, int]] = []

    def watch(number: int, count: int, page: Any, done: int, total: int) -> None:
        seen.append((number, count, page.name, done, total))
        session.stop = (number, done) == (2, 1)

    version = list(studio.color(session, (), 0, watch))[-1]
    first = [(1, 3, "第9 page", done, 3) for done in range(4)]  # two steps, and what follows them
    assert seen == [*first, (2, 3, "第10 page", 0, 3), (2, 3, "第10 page", 1, 3)]
    assert version.stopped
    assert list(version.results()) == ["第9 page"]
    assert not finish(studio, session).stopped, "the next one is not stopped"


def test_a_failing_page_does_not_cost_the_others(studio: Studio, session: Session) -> None:
    session.pages.accepted[1].page.path.unlink()
    version = finish(studio, session)
    assert list(version.results()) == ["第9 page", "第11 page"]
    assert list(version.report.failures) == ["chapter/第10 page"]


def test_nothing_to_do_is_said(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Upload a page to colour first"):
        next(studio.color(Session(), (), 0, ignore))
    with pytest.raises(ValueError, match="Upload a page to colour first"):
        studio.look_up(Session(), None, (), 0)
    color_page(1).convert("L").save(tmp_path / "a.png")
    session = Session()
    studio.take_pages(session, [tmp_path / "a.png"])
    begun = next(studio.color(session, (), 0, ignore))
    with pytest.raises(ValueError, match="There is no coloured page to download yet"):
        begun.zip()


def test_old_versions_go_and_with_the_session_all(studio: Studio, session: Session) -> None:
    folders = []
    for seed in range(KEPT + 1):
        version = next(studio.color(session, (), seed, ignore))
        version.place.mkdir(parents=True)
        folders.append(version.place)
    assert [folder.is_dir() for folder in folders] == [False] + [True] * KEPT
    assert session.version(1) is None
    assert session.version(2) is not None
    session.close()
    assert not any(studio.folder.glob("visitor-*/*"))


def test_examples_are_pages_to_colour_and_references(tmp_path: Path) -> None:
    pages, references = write_example(0, tmp_path)
    assert [is_colored(load_image(path)) for path in (*pages, *references)] == [False] * 2 + [True] * 5
    assert not {path.stem for path in pages} & {path.stem for path in references}
    assert write_example(1, tmp_path)[0][0].read_bytes() != pages[0].read_bytes()


def test_words_of_files_cannot_become_markup(studio: Studio, tmp_path: Path) -> None:
    color_page(1).save(tmp_path / "<b>x.png")
    (tmp_path / "<i>y.png").write_text("no picture")
    found = studio.take_references(Session(), list(tmp_path.glob("*.png")))
    html = fragments.uploads(found, expects_color=True)
    assert "&lt;b&gt;x" in html
    assert "&lt;i&gt;y.png: this is no picture" in html
    assert "<b>x" not in html
    assert "<i>y" not in html


def test_recipe_and_steps_of_the_command() -> None:
    assert command.recipe("lean", None) is LEAN
    assert command.recipe("released", 4).sampling.num_inference_steps == 4
    assert command.recipe("released", 4).sampling.guidance_scale == RELEASED.sampling.guidance_scale
    with pytest.raises(ValueError, match="--steps: expected at least 1, got 0"):
        command.recipe("lean", 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--weights", "nowhere"], "error: weights: expected an export folder with model_index.json, got nowhere"),
        (["--weights", "nowhere", "--steps", "0"], "error: --steps: expected at least 1"),
        (["--weights", "nowhere", "--max-pages", "0"], "error: --max-pages: expected a number above 0"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: name)
    assert command.main(arguments) == 1
    assert capsys.readouterr().err.startswith(words)


def test_without_gradio_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    code = "import sys, runpy; sys.modules['gradio'] = None; sys.argv[1:] = ['--weights', 'x']; "
    code += "runpy.run_module('colorflow.demo', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        'error: the demo needs Gradio, which is not installed: pip install -r requirements-demo.txt -e ".[demo]"'
    )


def test_help_names_the_address_and_every_limit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    said = capsys.readouterr().out
    for word in (
        "--weights EXPORT_FOLDER",
        "127.0.0.1",
        "--max-megapixels",
        "--recipe",
        "--steps",
        "--device",
        "--port",
    ):
        assert word in said
