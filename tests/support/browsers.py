"""Chromium by Playwright, and pages that record what they ask for and complain of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

__all__ = ["CHROMIUM", "RecordedPage", "needs_chromium", "open_page", "place_of", "started_browser"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@dataclass(eq=False)  # Playwright keeps something on the object of a bound method
class RecordedPage:
    """A page; ``requests``: every address that it asked for; ``complaints``: of its console, and uncaught errors."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> set[str]:
        """The hosts of all requests that left the page."""
        return {urlsplit(url).netloc for url in self.requests if not url.startswith(("data:", "blob:"))}

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complain(message.text)

    def _fail(self, error: Error) -> None:
        self._complain(str(error))

    def _complain(self, text: str) -> None:
        if not text.startswith("AbortError"):  # Gradio's own, when a page is left that waits for the server
            self.complaints.append(text)


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Start Chromium; without its sandbox, which root has none of in a container."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser, address: str, width: int = 1280, height: int = 900, **context: Any) -> RecordedPage:
    """Open an address in a new context, that is, with cookies of its own."""
    page = browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
    recorded = RecordedPage(page)
    page.on("request", lambda request: recorded.requests.append(request.url))
    page.on("console", recorded._hear)
    page.on("pageerror", recorded._fail)
    page.goto(address)
    page.wait_for_selector(".iv[data-version]")
    return recorded


def place_of(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return the place on the page of unit coordinates of the picture, which is shown as a whole."""
    page.locator(".iv-stage").scroll_into_view_if_needed()
    box = page.locator(".iv-stage").bounding_box()
    assert box
    width, height = map(int, (page.get_attribute(".iv", "data-ready") or "").split("x"))
    scale = min(box["width"] / width, box["height"] / height)
    left, top = box["x"] + (box["width"] - scale * width) / 2, box["y"] + (box["height"] - scale * height) / 2
    return left + x * scale * width, top + y * scale * height
