"""Colouring chapter folders: order, pools, going on after a stop, damaged pages, provenance."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from tiny.benchmark import color_page
from tiny.painter import QUIET, Painter, is_marked

import colorize
from colorflow.colorize import chapter_report, chapters
from colorflow.colorize.chapter_folder import MANIFEST, SHEET, SOURCE_TYPE
from colorflow.colorize.chapters import ColorizeOptions, colorize_chapters, find_jobs
from colorflow.config import compose_config
from colorflow.data.chapters import DataError
from colorflow.pipelines.output import ColorFlowOutput
from colorflow.schema import ReferencePool
from colorflow.toon import ToonSpec, draw_page
from colorflow.utils.color import is_colored


def digests(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.glob("*/p*.png"))}


def manifest(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def test_every_page_is_coloured_in_natural_order_from_its_own_references(folders):
    pages, references, output = folders
    painter = Painter()
    report = colorize_chapters(painter.load, find_jobs(pages, references), output, QUIET)
    assert report.colored == ["ep2/p1", "ep2/p2", "ep2/p3", "ep10/p1", "ep10/p2"]
    shown = [("reference/ep2/p1", "reference/ep2/p2")] * 3 + [("reference/ep10/p1",)] * 2
    assert [ids for _, ids in painter.calls] == shown
    assert len({seed for seed, _ in painter.calls}) == 5
    assert (output / "ep2" / SHEET).is_file()
    record = manifest(output / "ep2")[0]
    assert record["references"][0] == {
        "reference": "reference/ep2/p2", "patch": 0, "quadrant": 0, "rank": 1, "similarity": 0.6,
    }  # fmt: skip
    assert record["seed"] == painter.calls[0][0]


def test_a_flat_folder_is_one_chapter_and_flat_references_are_for_all(folders):
    pages, references, output = folders
    alone = find_jobs(pages / "ep2", references / "ep10")
    assert [(job.chapter.name, len(job.chapter.pages), len(job.references)) for job in alone] == [("ep2", 3, 1)]
    shared = find_jobs(pages, references / "ep2")
    assert [len(job.references) for job in shared] == [2, 2]
    assert [job.references for job in find_jobs(pages, None)] == [(), ()]
    assert colorize_chapters(Painter().load, find_jobs(pages, None), output, QUIET).failures == {}
    assert manifest(output / "ep10")[0]["references"][0]["similarity"] is None
    shutil.rmtree(references / "ep10")
    with pytest.raises(DataError, match=r"none for ep10 \(there are ep2\)"):
        find_jobs(pages, references)


def test_a_stopped_run_goes_on_without_redoing_a_page(folders):
    pages, references, output = folders
    jobs = find_jobs(pages, references)
    whole = colorize_chapters(Painter().load, jobs, output.with_name("whole"), QUIET)
    with pytest.raises(KeyboardInterrupt):
        colorize_chapters(Painter(stop_at=2).load, jobs, output, QUIET)
    painter = Painter()
    report = colorize_chapters(painter.load, jobs, output, QUIET)
    assert report.kept == ["ep2/p1", "ep2/p2"]
    assert len(painter.calls) == 3
    assert report.kept + report.colored == whole.colored
    assert digests(output) == digests(output.with_name("whole"))


def test_changed_and_missing_results_are_made_again(folders):
    pages, references, output = folders
    jobs = find_jobs(pages, references)
    colorize_chapters(Painter().load, jobs, output, QUIET)
    (output / "ep2" / "p1.png").write_bytes(b"half a file")
    (output / "ep2" / "p2.png").unlink()
    color_page(77).convert("L").save(pages / "ep10" / "p1.png")  # another input under the same name
    report = colorize_chapters(Painter().load, jobs, output, QUIET)
    assert report.colored == ["ep2/p1", "ep2/p2", "ep10/p1"]
    assert colorize_chapters(Painter().load, jobs, output, QUIET).colored == []
    again = colorize_chapters(Painter().load, jobs, output, ColorizeOptions(progress=False, overwrite=True))
    assert len(again.colored) == 5


@pytest.mark.parametrize("change", [{"fingerprint": "other weights"}, {"use_colored_pages": False}])
def test_other_settings_are_told_and_nothing_is_redone(change, folders, caplog):
    pages, references, output = folders
    jobs = find_jobs(pages, references)
    colorize_chapters(Painter().load, jobs, output, QUIET)
    other = ColorizeOptions(progress=False, **change)
    report = colorize_chapters(Painter().load, jobs, output, other)
    assert len(report.kept) == 5
    assert "3 pages made with other settings are kept; options.overwrite=true" in caplog.text


def test_a_failing_page_is_reported_and_tried_again(folders):
    pages, references, output = folders
    (pages / "ep2" / "p3.png").write_bytes(b"no picture")
    jobs = find_jobs(pages, references)
    options = ColorizeOptions(progress=False, max_failures=0.4)
    report = colorize_chapters(Painter(fail_on=(0,)).load, jobs, output, options)
    assert report.colored == ["ep2/p2", "ep10/p1", "ep10/p2"]
    assert set(report.failures) == {"ep2/p1", "ep2/p3"}
    assert "told to fail" in report.failures["ep2/p1"]
    assert "expected a readable picture" in report.failures["ep2/p3"]
    assert not (output / "ep2" / "p1.png").exists()
    assert colorize_chapters(Painter().load, jobs, output, QUIET).colored == ["ep2/p1"]


def test_the_command_fails_where_no_page_could_be_coloured(folders, monkeypatch):
    pages, references, output = folders
    options = ["weights=unused", f"pages={pages}", f"references={references}", f"output={output}"]
    options.append("options.max_failures=1")
    monkeypatch.setattr(colorize.config, "build", lambda node, **more: options_of(node, more))
    cfg = compose_config("colorize", options)
    with pytest.raises(RuntimeError, match="no page could be coloured; the first failure: RuntimeError: told to fail"):
        colorize.colorize(cfg)


def test_where_pages_are_computed_is_no_other_setting(monkeypatch, tmp_path):
    """Device and memory savings change no result, so a run may be gone on with under others."""
    seen = []
    monkeypatch.setattr(chapters, "colorize_chapters", lambda load, jobs, output, options: seen.append(options))
    monkeypatch.setattr(chapters, "find_jobs", lambda *_: [])
    same = ["pipeline.device=cpu", "pipeline.offload=stages", "pipeline.row_tile=64"]
    for more in ([], same, ["pipeline.keep_luminance=true"]):
        given = ["weights=w", f"pages={tmp_path}", f"output={tmp_path}", *more]
        with pytest.raises(AttributeError):  # the stand-in has no report
            colorize.colorize(compose_config("colorize", given))
    plain, elsewhere, other = (options.fingerprint for options in seen)
    assert plain == elsewhere != other


def options_of(node, more):
    """What the configuration would build, with a pipeline that always fails."""
    quiet = ColorizeOptions(progress=False, contact_sheet=False, max_failures=node.get("max_failures", 0), **more)
    return quiet if "ColorizeOptions" in node._target_ else Painter(fail_on=tuple(range(99)))


class Unaided(Painter):
    """Colours without any retrieved patch."""

    def __call__(self, page: Image.Image, references: ReferencePool, *, seed: int) -> ColorFlowOutput:
        return replace(super().__call__(page, references, seed=seed), retrieved=())


def test_the_sheet_does_not_take_a_page_without_references_for_one_in_colour(folders, monkeypatch):
    pages, _, output = folders
    drawn: list = []
    monkeypatch.setattr(chapter_report, "draw_strip", lambda rows: drawn.extend(rows) or rows[0][0].image)
    color_page(5).save(pages / "ep2" / "p3.png")
    colorize_chapters(Unaided().load, find_jobs(pages, None)[:1], output, QUIET)
    assert [row[-1].note for row in drawn] == ["", "", "in colour already"]


def test_a_chapter_without_any_colour_is_told(folders, caplog):
    pages, references, output = folders
    colorize_chapters(Painter().load, find_jobs(pages, references), output, QUIET)
    assert "no references" not in caplog.text
    colorize_chapters(Unaided().load, find_jobs(pages, None), output / "unaided", QUIET)
    assert caplog.text.count("no references") == 2
    assert "references=DIR" in caplog.text


def test_results_say_that_a_model_coloured_them_and_damaged_references_are_left_out(folders):
    pages, references, output = folders
    (references / "ep2" / "p1.png").write_bytes(b"no picture")
    painter = Painter()
    report = colorize_chapters(painter.load, find_jobs(pages, references)[:1], output, QUIET)
    assert (list(report.warnings), report.failures) == (["reference ep2/p1"], {})
    assert painter.calls[0][1] == ("reference/ep2/p2",)
    for picture in ("p1.png", SHEET):
        image = Image.open(output / "ep2" / picture)
        assert is_marked(image)
        assert "AI model" in image.info["Description"]
        assert SOURCE_TYPE.encode() in (output / "ep2" / picture).read_bytes()


def test_pages_in_colour_pass_through_untouched_and_are_references(folders):
    pages, references, output = folders
    color_page(5).save(pages / "ep2" / "p3.png")
    painter = Painter()
    report = colorize_chapters(painter.load, find_jobs(pages, references)[:1], output, QUIET)
    assert report.passed_through == ["ep2/p3"]
    assert painter.calls[0][1] == ("reference/ep2/p1", "reference/ep2/p2", "ep2/p3")
    passed = Image.open(output / "ep2" / "p3.png")
    assert np.array_equal(np.asarray(passed), np.asarray(color_page(5)))
    assert not is_marked(passed)
    alone = Painter()
    options = ColorizeOptions(progress=False, use_colored_pages=False)
    colorize_chapters(alone.load, find_jobs(pages, references)[:1], output.with_name("alone"), options)
    assert alone.calls[0][1] == ("reference/ep2/p1", "reference/ep2/p2")


def test_coloured_pages_join_the_pool_in_sequence_also_after_a_stop(folders):
    pages, references, output = folders
    jobs, options = find_jobs(pages, references)[:1], ColorizeOptions(progress=False, sequential=True)
    painter = Painter()
    colorize_chapters(painter.load, jobs, output, options)
    assert [len(ids) for _, ids in painter.calls] == [2, 3, 4]
    with pytest.raises(KeyboardInterrupt):
        colorize_chapters(Painter(stop_at=1).load, jobs, output.with_name("stopped"), options)
    rest = Painter()
    colorize_chapters(rest.load, jobs, output.with_name("stopped"), options)
    assert rest.calls == painter.calls[1:]
    assert digests(output) == digests(output.with_name("stopped"))


@pytest.mark.parametrize("seed", range(3))
def test_tints_are_no_colour(seed):
    page = draw_page(seed, 0, ToonSpec(size=(192, 288))).color
    gray = page.convert("L")
    assert is_colored(page)
    assert not is_colored(gray)
    assert not is_colored(ImageOps.colorize(gray, (40, 20, 60), (250, 235, 190)))
    assert not is_colored(Image.new("RGB", (64, 64), (200, 30, 30)))


def test_a_small_coloured_spot_does_not_make_a_page_coloured():
    page = draw_page(0, 0, ToonSpec(size=(192, 288))).color.convert("L").convert("RGB")
    page.paste((220, 20, 20), (10, 10, 20, 20))
    assert not is_colored(page)
    page.paste((220, 20, 20), (10, 10, 60, 60))
    assert is_colored(page)
