"""Photograph a report for docs: ``python docs/make_report_pictures.py RESULTS_FOLDER`` (of ``evaluate.py``).

Needs the extra ``dev`` and a Chromium on the path.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from colorflow.utils.images import save_png

ASSETS = Path(__file__).parent / "assets"
WINDOW = {"width": 1240, "height": 1150}


def photograph(browser: Any, report: Path, scheme: str, selector: str) -> Image.Image:
    """The window as it is when a part has been scrolled to, its pictures loaded."""
    page = browser.new_page(viewport=WINDOW, color_scheme=scheme)
    page.goto(report.as_uri())
    page.locator(selector).evaluate("part => part.scrollIntoView({behavior: 'instant'})")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)  # pictures that scrolling has asked for
    picture = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    return picture.convert("RGB").quantize(256)


def main() -> None:
    """Scores in light colours, strips in dark ones."""
    report = Path(sys.argv[1]).resolve() / "index.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, scheme, selector in (("report-scores", "light", ".head"), ("report-pictures", "dark", "#chapters")):
            save_png(photograph(browser, report, scheme, selector), ASSETS / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
