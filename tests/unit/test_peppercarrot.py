"""The recipe of the Pepper&Carrot benchmark, on generated files under the comic's names."""

from pathlib import Path

import pytest
from tiny.benchmark import color_page
from tiny.runs import call_main

from colorflow.data.chapters import DataError, read_chapters
from colorflow.evaluation.bench.build import build_benchmark
from data import peppercarrot

ART = "gfx_Pepper-and-Carrot_by-David-Revoy_"


def write_episode(root: Path, folder: str, episode: int, last: int, suffix: str = "png") -> Path:
    """An episode as its sources have it: cover, title 00, pages, credits, and a page with text beside each."""
    inside = root / folder
    (inside / "en").mkdir(parents=True)
    for number in range(last + 1):
        color_page(100 * episode + number).save(inside / f"{ART}E{episode:02d}P{number:02d}.{suffix}")
        (inside / "en" / f"E{episode:02d}P{number:02d}.svg").write_text("<svg/>")
        (inside / f"en_Pepper-and-Carrot_by-David-Revoy_E{episode:02d}P{number:02d}.jpg").write_bytes(b"with text")
    color_page(episode).save(inside / f"{ART}E{episode:02d}.png")
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_episode(tmp_path / "download", "ep02_Rainbow-potions/lang", 2, 4)
    return write_episode(tmp_path / "download", "ep10_Summer-Special/low-res/gfx-only", 10, 3, "jpg")


def make(source: Path, output: Path, *overrides: str) -> str | None:
    return call_main(peppercarrot, f"source={source}", f"output={output}", *overrides)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_pages_without_text_become_chapters_byte_for_byte(source, tmp_path):
    hidden = source / ".thumbs" / f"{ART}E02P01.png"
    hidden.parent.mkdir()
    hidden.write_bytes(b"a thumbnail")
    assert make(source, tmp_path / "out") is None
    pages = ["ep02/p01.png", "ep02/p02.png", "ep02/p03.png", "ep10/p01.jpg", "ep10/p02.jpg"]
    assert files(tmp_path / "out") == ["ATTRIBUTION.md", *pages]
    original = source / "ep10_Summer-Special/low-res/gfx-only" / f"{ART}E10P02.jpg"
    assert (tmp_path / "out/ep10/p02.jpg").read_bytes() == original.read_bytes()
    said = (tmp_path / "out/ATTRIBUTION.md").read_text()
    assert all(part in said for part in ("David Revoy", "CC BY 4.0", "credits left out"))
    benchmark = build_benchmark(tmp_path / "out", tmp_path / "benchmark", progress=False)
    assert [(chapter.name, len(chapter.pages)) for chapter in benchmark.chapters] == [("ep02", 3), ("ep10", 2)]


def test_a_copy_in_chapter_folders_may_lack_its_credits(source, tmp_path, caplog):
    make(source, tmp_path / "copy")
    (tmp_path / "copy/ep02/p02.png").unlink()
    assert make(tmp_path / "copy", tmp_path / "out", "keep_last=[ep02]") is None
    assert files(tmp_path / "out") == ["ATTRIBUTION.md", "ep02/p01.png", "ep02/p03.png", "ep10/p01.jpg"]
    assert [chapter.name for chapter in read_chapters(tmp_path / "out")[0]] == ["ep02", "ep10"]


def test_what_is_left_out_and_what_is_missing_is_told(source, caplog):
    caplog.set_level("INFO")
    (source / "ep02_Rainbow-potions/lang" / f"{ART}E02P02.png").unlink()
    peppercarrot.without_strips(peppercarrot.find_pages(source))
    assert "ep02: 2 pages, left out: p00, p04" in caplog.text
    assert "ep02: p02 not found" in caplog.text
    assert "ep10: p" not in caplog.text


def test_an_episode_of_title_and_credits_alone_is_no_chapter(tmp_path):
    write_episode(tmp_path / "download", "ep39", 39, 1)
    write_episode(tmp_path / "download", "ep40", 40, 2)
    assert list(peppercarrot.without_strips(peppercarrot.find_pages(tmp_path / "download"))) == ["ep40"]


def test_mistakes_end_in_one_line_and_write_nothing(source, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "missing source; usage" in call_main(peppercarrot, f"output={tmp_path / 'out'}")
    assert "data/cards/peppercarrot.md says what to download" in make(tmp_path / "empty", tmp_path / "out")
    assert "no such episodes ['ep11']; there are ep02, ep10" in make(source, tmp_path / "out", "keep_last=[ep11]")
    assert "expected no such folder yet" in make(source, tmp_path / "empty")
    write_episode(source, "ep02_Rainbow-potions/hi-res", 2, 4)
    with pytest.raises(DataError, match=r"one picture a page, got ep02_.*hi-res.*, ep02_.*lang.*; set source"):
        peppercarrot.find_pages(source)
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["download", "empty"]
