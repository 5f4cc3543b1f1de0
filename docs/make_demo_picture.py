"""Photograph the demo for docs: ``python docs/make_demo_picture.py EXPORT_FOLDER``.

Needs the extras ``demo`` and ``dev`` and a Chromium on the path.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from colorflow.demo.limits import Limits
from colorflow.demo.page import open_page
from colorflow.demo.studio import Studio
from colorflow.pipelines.colorflow import load_pipeline
from colorflow.utils.images import save_png

ASSETS = Path(__file__).parent / "assets"
WINDOW = {"width": 1360, "height": 1240}


def photograph(browser: Any, address: str, scheme: str = "light", window: dict[str, int] | None = None) -> Image.Image:
    """The page with an example coloured, at what the model looked at."""
    page = browser.new_page(viewport=window or WINDOW, color_scheme=scheme)
    page.goto(address)
    page.get_by_role("button", name="Example 1").click()
    page.locator("#cf-references-note li").nth(4).wait_for()
    page.click("#cf-color")
    page.locator("#cf-status .cf-good").wait_for(timeout=300_000)
    page.get_by_role("tab", name="References").click()
    page.locator("#cf-looks .cf-slot").first.focus()
    page.wait_for_timeout(500)  # the frame fades in
    picture = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    return picture.convert("RGB").quantize(256)


def main() -> None:
    """One picture, in light colours."""
    pipeline = load_pipeline(sys.argv[1])
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with open_page(Studio(pipeline, Limits(), Path(folder))) as demo:
            save_png(photograph(browser, demo.address), ASSETS / "demo.png")
        browser.close()


if __name__ == "__main__":
    main()
