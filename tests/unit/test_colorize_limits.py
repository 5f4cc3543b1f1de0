"""Colouring chapters where something is wrong or nothing is to do: failures, canvases, the model left unloaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.benchmark import color_page, write_chapters
from tiny.painter import QUIET, Painter, gray_chapters

import colorize
from colorflow.canvas import Size, canvas_size
from colorflow.colorize.chapter_folder import MANIFEST, SHEET
from colorflow.colorize.chapter_report import TooManyFailuresError as TooMany
from colorflow.colorize.chapters import ColorizeOptions, colorize_chapters, find_jobs
from colorflow.colorize.page_painting import at_own_size, cut_strip
from colorflow.config import compose_config
from colorflow.data.chapters import DataError
from colorflow.utils.progress import allowed_failures


def options(**more: object) -> ColorizeOptions:
    return ColorizeOptions(progress=False, **more)


# Failures.


@pytest.mark.parametrize(("share", "allowed"), [(0.0, 0), (0.05, 1), (0.4, 2), (0.6, 3), (1.0, 5)])
def test_the_run_stops_when_more_pages_fail_than_allowed(folders, share, allowed):
    pages, references, output = folders
    assert allowed_failures(5, share) == allowed
    painter = Painter(fail_on=range(99))
    if allowed == 5:
        report = colorize_chapters(painter.load, find_jobs(pages, references), output, options(max_failures=share))
        assert len(report.failures) == 5
        return
    with pytest.raises(TooMany) as caught:
        colorize_chapters(painter.load, find_jobs(pages, references), output, options(max_failures=share))
    text = str(caught.value)
    assert len(painter.calls) == allowed + 1
    assert f"{allowed + 1} of 5 pages failed, more than max_failures={share:g} allows ({allowed})" in text
    failed = ["ep2/p1", "ep2/p2", "ep2/p3", "ep10/p1"][: allowed + 1]
    assert [line.split(":")[0].strip() for line in text.splitlines() if "told to fail" in line] == failed


def test_what_was_made_before_the_stop_is_kept(folders):
    pages, references, output = folders
    jobs = find_jobs(pages, references)
    with pytest.raises(TooMany):
        colorize_chapters(Painter(fail_on=(1, 3)).load, jobs, output, QUIET)
    painter = Painter()
    report = colorize_chapters(painter.load, jobs, output, QUIET)
    assert report.kept == ["ep2/p1", "ep2/p3"]
    assert report.colored == ["ep2/p2", "ep10/p1", "ep10/p2"]


def test_unreadable_pages_stop_the_run_together_before_the_model_is_loaded(folders):
    pages, references, output = folders
    for name in ("p1.png", "p3.png"):
        (pages / "ep2" / name).write_bytes(b"no picture")
    painter = Painter()
    with pytest.raises(TooMany, match=r"2 of 5 pages failed(?s:.*)ep2/p1: ImageError(?s:.*)ep2/p3: ImageError"):
        colorize_chapters(painter.load, find_jobs(pages, references), output, QUIET)
    assert painter.loads == 0


def test_a_long_list_of_failures_is_cut(tmp_path):
    pages = gray_chapters(tmp_path / "pages", {"ep": 30})
    for path in (pages / "ep").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(TooMany, match=r"30 of 30 pages failed") as caught:
        colorize_chapters(Painter().load, find_jobs(pages, None), tmp_path / "out", QUIET)
    assert "and 10 more" in str(caught.value)


def test_references_that_cannot_be_read_at_all_are_an_error(folders):
    pages, references, output = folders
    (references / "ep10" / "p1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"ep10: none of its 1 references can be read, the first: .*p1\.png"):
        colorize_chapters(Painter().load, find_jobs(pages, references), output, QUIET)


@pytest.mark.parametrize("key", ["pages", "references"])
def test_results_never_go_over_the_input(folders, key):
    pages, references, _ = folders
    before = {path: path.read_bytes() for path in (*pages.rglob("*.*"), *references.rglob("*.*"))}
    with pytest.raises(DataError, match="chapter ep2 would be written over its own input"):
        colorize_chapters(
            Painter().load, find_jobs(pages, references), {"pages": pages, "references": references}[key], QUIET
        )
    with pytest.raises(DataError, match="over its own input"):
        colorize_chapters(Painter().load, find_jobs(pages / "ep2", None), pages, QUIET)
    assert {path: path.read_bytes() for path in (*pages.rglob("*.*"), *references.rglob("*.*"))} == before


def test_folders_that_are_not_there_and_pages_of_one_name_are_told(folders, caplog):
    pages, references, output = folders
    with pytest.raises(DataError, match="none; set pages=DIR"):
        find_jobs(output, references)
    with pytest.raises(DataError, match="none; set references=DIR"):
        find_jobs(pages, output)
    color_page(3).save(pages / "ep2" / "p1.jpg")
    find_jobs(pages, references)
    find_jobs(pages / "ep2", None)
    assert caplog.text.count("p1.png is left out: p1.jpg is the same page name") == 2


# The model is loaded only where a page is to be coloured.


def test_the_model_is_not_loaded_where_no_page_is_to_be_coloured(folders, tmp_path):
    pages, references, output = folders
    jobs, first, second = find_jobs(pages, references), Painter(), Painter()
    colorize_chapters(first.load, jobs, output, QUIET)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    report = colorize_chapters(second.load, jobs, output, QUIET)
    assert (first.loads, second.loads) == (1, 0)
    assert (len(report.kept), report.colored) == (5, [])
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.png")} == before
    (output / "ep2" / SHEET).unlink()
    colorize_chapters(second.load, jobs, output, QUIET)
    assert second.loads == 0
    assert (output / "ep2" / SHEET).is_file()
    pages, painter = write_chapters(tmp_path / "colored", {"ep": 2}), Painter()
    report = colorize_chapters(painter.load, find_jobs(pages, None), tmp_path / "there", QUIET)
    assert (report.passed_through, painter.loads) == (["ep/p1", "ep/p2"], 0)


def test_a_model_that_does_not_load_is_no_failing_page(folders):
    pages, references, output = folders

    def load() -> Painter:
        raise FileNotFoundError("no such weights")

    with pytest.raises(FileNotFoundError, match="no such weights"):
        colorize_chapters(load, find_jobs(pages, references), output, QUIET)


def test_the_command_tells_a_wrong_folder_before_it_loads(folders):
    pages, references, output = folders
    given = [f"pages={pages}", f"references={references}", f"output={output}", "weights=nowhere"]
    with pytest.raises(FileNotFoundError, match=r"expected an export folder with model_index\.json, got nowhere"):
        colorize.colorize(compose_config("colorize", given))
    with pytest.raises(ValueError, match="canvas: expected page or model, got 'large'"):
        colorize.colorize(compose_config("colorize", [*given, "options.canvas=large"]))


# Canvases.


class Shown(Painter):
    """Answers at the canvas's page size, as a pipeline without GSRP, and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[Size] = []

    def __call__(self, page, references, *, seed):
        self.sizes.append(self.page_size)
        return super().__call__(page.resize(self.page_size), references, seed=seed)


def wide_and_tall(root: Path) -> Path:
    sizes = {"p1": (40, 60), "p2": (120, 80), "p3": (60, 60), "p4": (40, 300)}
    (root / "ep").mkdir(parents=True)
    for seed, (name, size) in enumerate(sizes.items()):
        color_page(seed, size).convert("L").save(root / "ep" / f"{name}.png")
    return root


def test_every_page_gets_a_canvas_of_its_aspect_and_keeps_its_size(tmp_path):
    jobs, painter = find_jobs(wide_and_tall(tmp_path / "pages"), None), Shown()
    report = colorize_chapters(painter.load, jobs, tmp_path / "out", QUIET)
    strip = painter.sizes[3:]
    assert painter.sizes[:3] == [(32, 48), (48, 32), (40, 40)]
    assert len(strip) == 5, "300 / (0.8 * 2 * 40), rounded up"
    results = [Image.open(tmp_path / "out" / "ep" / f"p{number}.png").size for number in range(1, 5)]
    assert results == [(40, 60), (120, 80), (60, 60), (40, 300)]
    assert report.warnings == {}
    records = [json.loads(line) for line in (tmp_path / "out" / "ep" / MANIFEST).read_text().splitlines()]
    assert [tuple(record["canvas"]) for record in records] == [canvas_size(size) for size in painter.sizes[:4]]
    assert ["pieces" in record for record in records] == [False, False, False, True]
    assert len({seed for seed, _ in painter.calls}) == 8, "every piece has its own noise"


def test_the_models_canvas_can_be_asked_for(tmp_path):
    jobs, painter = find_jobs(wide_and_tall(tmp_path / "pages"), None), Shown()
    report = colorize_chapters(painter.load, jobs, tmp_path / "out", options(canvas="model"))
    assert painter.sizes == [(32, 48)] * 4
    assert list(report.warnings) == ["ep/p2", "ep/p3", "ep/p4"]
    assert "shows and colours 20% of this page of 40 x 300, the rest stays gray" in report.warnings["ep/p4"]
    again = colorize_chapters(painter.load, jobs, tmp_path / "out", QUIET)
    assert (len(again.kept), again.colored) == (4, [])


def test_what_the_canvas_does_not_show_stays_gray():
    page = color_page(4, (40, 300))
    result = Image.new("RGB", (24, 56), (250, 10, 10))
    whole = np.asarray(at_own_size(result, page))
    colored = (whole == (250, 10, 10)).all(axis=2)
    assert colored.all(axis=1).sum() == colored.any(axis=1).sum() == 93  # 40 * 56 / 24, rounded down
    assert np.array_equal(whole[:100], np.asarray(page.convert("L").convert("RGB"))[:100])
    assert at_own_size(page, page) is page


@settings(deadline=None, max_examples=60)
@given(st.integers(16, 60), st.integers(16, 1200), st.booleans(), st.integers(0, 99))
def test_strips_are_cut_into_pieces_a_canvas_takes(breadth, length, upright, seed):
    size = (breadth, length) if upright else (length, breadth)
    page = Image.fromarray(np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8))
    boxes = cut_strip(page)
    assert sum((right - left) * (bottom - top) for left, top, right, bottom in boxes) == breadth * length
    ends = [(box[1], box[3]) if size[1] > size[0] else (box[0], box[2]) for box in boxes]
    assert [low for low, _ in ends] == [0, *(high for _, high in ends[:-1])], "in order, without a gap"
    for left, top, right, bottom in boxes:
        assert max(right - left, bottom - top) <= 2 * min(right - left, bottom - top) + 1
    assert (len(boxes) == 1) == (max(size) <= 2 * min(size))


def test_strips_are_cut_in_their_gutters():
    page = np.random.default_rng(0).integers(0, 256, (300, 40), dtype=np.uint8)
    gutters = (57, 125, 182, 238)  # of pieces of 60, within a tenth of it
    for row in gutters:
        page[row] = 255
    assert [box[1] for box in cut_strip(Image.fromarray(page))[1:]] == list(gutters)
    assert [box[0] for box in cut_strip(Image.fromarray(page.T))[1:]] == list(gutters)
    even = cut_strip(Image.new("L", (40, 300), 255))
    assert [box[1] for box in even[1:]] == [60, 120, 180, 240], "where all is as even, pieces are equal"
