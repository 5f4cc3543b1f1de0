"""``python -m colorflow.styles``: what the pictures hold, and mistakes in one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.comics import draw_page
from tiny.styles import seeded

from colorflow.styles.__main__ import main
from colorflow.styles.compose import blend
from colorflow.styles.gray import GrayStyle
from colorflow.styles.sheets import draw_figure_4, draw_sheet, screen_of
from colorflow.utils.seeding import generator

ROOT = Path(__file__).resolve().parents[2]


def holds(picture, page):
    """Whether a picture holds a page, pixel by pixel."""
    inside, wanted = np.asarray(picture).astype(int), np.asarray(page).astype(int)
    height, width = wanted.shape[:2]
    corners = np.argwhere((inside[: -height or None, : -width or None] == wanted[0, 0]).all(-1))
    return any(np.array_equal(inside[y : y + height, x : x + width], wanted) for y, x in corners)


def test_figure_4_holds_page_gray_and_both_interpolations():
    page = draw_page(3, (60, 90))
    picture = draw_figure_4(page, screen_of(None), seed=2)
    gray = GrayStyle()(page, seeded())
    assert holds(picture, page)
    assert holds(picture, gray)
    drawn = generator(2, "strip", "procedural")
    toned = screen_of(None)(page, drawn)
    assert holds(picture, toned)
    for share in (0.66, 0.33):
        assert holds(picture, blend(toned, gray, share))
    assert picture.tobytes() == draw_figure_4(page, screen_of(None), seed=2).tobytes()
    assert picture.tobytes() != draw_figure_4(page, screen_of(None), seed=3).tobytes()


def test_the_sheet_has_a_row_a_page_and_more_columns_with_weights(style_weights):
    pages = [draw_page(3, (60, 90)), draw_page(4, (60, 90))]
    plain = draw_sheet(pages)
    assert all(holds(plain, page) for page in pages)
    assert draw_sheet(pages[:1]).height < plain.height
    weighted = draw_sheet(pages[:1], style_weights)
    assert weighted.width > plain.width


def test_the_command_writes_both_pictures(tmp_path):
    draw_page(1, (80, 120)).save(tmp_path / "page.png")
    given = [f"{tmp_path}/page.png", "--height=96"]
    assert main(["sheet", f"--out={tmp_path}/sheet.png", *given]) == 0
    command = [sys.executable, "-m", "colorflow.styles", "strip", f"--out={tmp_path}/strip.png", *given]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert all(Image.open(tmp_path / f"{kind}.png").height > 96 for kind in ("strip", "sheet"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["strip", "nowhere.png", "--out=y"], "nowhere.png"),
        (["sheet", "{page}", "--out={page}", "--weights=nowhere"], "expected a folder with ScreenStyle/"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, tmp_path, capsys):
    draw_page(1).save(tmp_path / "page.png")
    assert main([item.format(page=tmp_path / "page.png") for item in arguments]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
