"""Pictures of the page in all its main states: python -m support.screenshots FOLDER."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page

from support.browsers import open_page, place_of, started_browser
from support.web_server import web_server

__all__ = ["STATES", "take_screenshots"]

MISSED = (0.73, 0.45)  # of the spleen, by the model's last mask
SCREENS = {"desktop": (1360, 900, 1), "phone": (390, 844, 2)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
STATES = (
    *("empty", "proposed", "running", "done", "corrected", "branches"),
    *("accepted", "manual", "absent", "declined", "error"),
)


def take_screenshots(folder: Path) -> Iterator[Path]:
    """Yield the files SCREEN-SCHEME-STATE.png as they are written: of the whole page, or what a phone shows of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, web_server(Path(data)) as address, started_browser() as browser:
        for screen, (width, height, ratio) in SCREENS.items():
            for scheme in SCHEMES:
                page = open_page(browser, address, width, height, device_scale_factor=ratio, color_scheme=scheme).page
                for state in _visit_states(page, address):
                    if state != "running":
                        page.wait_for_timeout(500)  # transitions, and the chat's own scrolling
                    path = folder / f"{screen}-{scheme}-{state}.png"
                    page.evaluate("scrollTo(0, 0)")
                    page.screenshot(path=path, full_page=screen == "desktop")
                    yield path
                page.context.close()


def _visit_states(page: Page, address: str) -> Iterator[str]:
    """Bring the page into one state after another."""
    page.wait_for_selector(".iv-examples button")
    yield "empty"
    _ask(page, "spleen", "Segment the spleen.")
    _wait_until_idle(page)
    yield "proposed"
    page.goto(address)
    _ask(page, "wrong-mask", "Segment the spleen.")
    page.wait_for_function("+document.querySelector('.iv').dataset.steps >= 1")
    yield "running"
    _wait_until_idle(page)
    yield "done"
    _click(page, *MISSED)
    yield "corrected"
    page.locator(".iv-stage").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.click("[data-do=fork]")
    page.wait_for_selector('.id[data-branches="2"]')
    _wait_until_idle(page)
    yield "branches"
    page.click("[data-event=accept]")
    _wait_until_idle(page)
    page.check("input[data-split]")
    page.select_option("[data-mode]", "errors")
    yield "accepted"
    page.goto(address)
    page.click("[data-example=scan]")
    page.wait_for_selector('.iv[data-ready]:not([data-ready=""])')
    yield "manual"
    page.goto(address)
    _ask(page, "absent", "Segment the polyp.")
    _wait_until_idle(page)
    yield "absent"
    page.goto(address)
    _ask(page, "spleen", "Segment the aorta aneurysm.")
    _wait_until_idle(page)
    yield "declined"
    page.goto(address)
    page.wait_for_selector(".iv-examples button")
    script: Any = {"name": "scan.png", "mimeType": "image/png", "buffer": b"#!/bin/sh\nexit\n"}
    with page.expect_file_chooser() as chooser:
        page.click("[data-upload=image]")
    chooser.value.set_files([script])
    page.wait_for_selector(".iv-outcome[data-kind=error]")
    yield "error"


def _ask(page: Page, example: str, words: str) -> None:
    page.click(f"[data-example={example}]")
    page.wait_for_selector('.iv[data-ready]:not([data-ready=""])[data-state=waiting]')
    page.fill("#words textarea", words)
    page.click("#go")
    page.wait_for_function("document.querySelector('.iv').dataset.asked")


def _click(page: Page, x: float, y: float) -> None:
    steps = int(page.get_attribute(".iv", "data-steps") or 0)
    page.mouse.click(*place_of(page, x, y))
    page.wait_for_selector(f'.iv[data-steps="{steps + 1}"]')
    _wait_until_idle(page)


def _wait_until_idle(page: Page) -> None:
    page.wait_for_selector(".iv:not([data-state=running])", timeout=60_000)


if __name__ == "__main__":
    for path in take_screenshots(Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
