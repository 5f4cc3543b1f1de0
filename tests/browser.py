"""The system's Chromium, driven by Playwright; tests that need it are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the playwright package (extra dev)")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser on the path: {', '.join(NAMES)}")
    with sync_api.sync_playwright() as playwright:
        # Without a sandbox: containers seldom allow one, and the pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, what it should not have done, and the home from where alone it may fetch."""

    page: Any
    home: str = "file://"
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def check(self) -> None:
        """No script failed, nothing was written to the console, nothing was fetched from anywhere else."""
        assert self.errors == []
        assert [url for url in self.requests if not url.startswith((self.home, "data:", "blob:"))] == []


@contextmanager
def opened(browser: Any, place: Path | str, width: int = 1360, **options: Any) -> Iterator[Watched]:
    """Open a file, or the address of a server of ours, in a window of its own and check what it did at the end."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    context.set_default_timeout(8000)
    watched = Watched(context.new_page(), place if isinstance(place, str) else "file://")
    watched.page.on("console", lambda message: watched.errors.append(message.text))
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.goto(place if isinstance(place, str) else place.as_uri())
    yield watched
    watched.check()
    context.close()
