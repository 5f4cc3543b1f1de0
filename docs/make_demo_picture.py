"""Photograph the demo with the weights that come with the package: ``python docs/make_demo_picture.py``.

Needs the extras ``demo`` and ``dev`` and a Chromium on the path.
"""

from __future__ import annotations

import io
import shutil
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


def photograph(browser: Any, address: str) -> dict[str, Image.Image]:
    """The page with an example coloured: what the model looked at, and what came of it."""
    page = browser.new_page(viewport=WINDOW, color_scheme="light")
    page.goto(address)
    page.get_by_role("button", name="Example 1").click()
    page.locator("#cf-references-note li").nth(4).wait_for()
    page.click("#cf-color")
    page.locator("#cf-status .cf-good").wait_for(timeout=300_000)
    pictures = {}
    for name, tab in (("demo-result", "Result"), ("demo", "References")):
        page.get_by_role("tab", name=tab).click()
        if tab == "References":
            page.locator("#cf-looks .cf-slot").first.focus()
        page.wait_for_timeout(1000)  # the frame fades in
        pictures[name] = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256)
    page.close()
    return pictures


def main() -> None:
    """Two pictures, in light colours."""
    pipeline = load_pipeline("toon")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with open_page(Studio(pipeline, Limits(), Path(folder))) as address:
            for name, picture in photograph(browser, address).items():
                save_png(picture, ASSETS / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
