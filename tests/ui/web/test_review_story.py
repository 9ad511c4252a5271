"""Recorded runs in a browser: one reader's story on the reading page, and a run folder on the page of sessions."""

import json
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from support.browsers import RecordedPage, needs_chromium, open_page, started_browser
from support.run_folders import write_runs
from support.web_server import review_server, web_server

from ibisagent.tools.masks.rle import decode
from ibisagent.ui.sessions.reviews import read_reviews

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_runs(tmp_path_factory.mktemp("made"), cases=3)


@pytest.fixture(scope="module")
def browser():
    with started_browser() as browser:
        yield browser


def enter(browser, address):
    """Open the reading page in a new browser, and record what it asks for and complains of."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    recorded = RecordedPage(page)
    page.on("request", lambda request: recorded.requests.append(request.url))
    page.on("console", recorded._hear)
    page.on("pageerror", recorded._fail)
    page.goto(address)
    return recorded


def wait_for_case(page, number):
    page.wait_for_selector(f'.ir[data-number="{number}"] .iv:not([data-ready=""])')


def test_one_reader_s_story(browser, runs, tmp_path):
    file = tmp_path / "reviews.csv"
    options = (runs, "--root", runs.parent, "--out", file)
    with review_server(*options) as address:
        recorded = enter(browser, address)
        page = recorded.page
        page.fill("[name=name]", "anna")
        page.press("[name=name]", "Enter")
        wait_for_case(page, 0)
        assert page.inner_text(".ir-count") == "0 of 6 read"
        assert page.is_disabled(".ir-save")
        page.keyboard.press("3")
        page.keyboard.press("Enter")
        assert page.get_attribute(".ir", "data-number") == "0", "what is wrong is not said yet"
        page.keyboard.press("l")
        page.fill(".ir-comment textarea", "2 and w are letters here")
        page.keyboard.press("Control+Enter")
        wait_for_case(page, 1)
        assert page.input_value(".ir-comment textarea") == ""
        page.click("[data-verdict=accept]")
        assert page.is_disabled("[data-failure=leak]")
        page.click(".ir-save")
        wait_for_case(page, 2)
        page.wait_for_timeout(1000)
        page.reload()
        wait_for_case(page, 2)
        place = urlsplit(page.url).query
        for word in ("oracle", "scripted", "disk"):
            assert word not in page.inner_text("body")
    first, second = read_reviews(file)
    assert (first.verdict, first.failure, first.comment) == ("major", "leak", "2 and w are letters here")
    assert (second.verdict, second.failure) == ("accept", "")

    with review_server(*options) as again:
        page.goto(f"{again}/?{place}")
        for number in range(2, 6):
            wait_for_case(page, number)
            shown = page.evaluate("document.querySelector('.iv').mask")
            page.keyboard.press("1")
            page.keyboard.press("Enter")
            page.wait_for_selector(f'.ir:not([data-number="{number}"])')
            row = read_reviews(file)[-1]
            record = json.loads((runs / row.place).read_text())
            assert shown == record["targets"][0]["mask"]
        page.wait_for_selector(".ir[data-state=done]")
        assert "6 of 6" in page.inner_text(".ir-end")
        asked = {urlsplit(url).netloc for url in recorded.requests}
        assert asked == {urlsplit(address).netloc, urlsplit(again).netloc}
    assert recorded.complaints == []
    rows = read_reviews(file)
    assert len({row.place for row in rows}) == len(rows) == 6
    page.context.close()


def test_a_run_folder_is_read_without_a_model(browser, runs, tmp_path):
    with web_server(tmp_path, runs, "--root", runs.parent) as address:
        opened = open_page(browser, address)
        page = opened.page
        page.wait_for_selector('.ic[data-rows="6"]')
        page.fill("[data-find]", "scripted terminated")
        page.wait_for_selector('.ic[data-rows="2"]')
        page.click(".ic tbody tr >> nth=1")
        page.wait_for_selector(".ic tr[aria-current] >> text=case-1")
        page.wait_for_selector('.iv[data-steps="2"]:not([data-ready=""])')
        page.wait_for_selector('.id-files a[download="mask.png"]')
        assert page.is_hidden("#ask")
        with page.expect_download() as download:
            page.click('.id-files a[download="mask.png"]')
        download.value.save_as(tmp_path / "mask.png")
        record = json.loads((runs / "trajectories/scripted/disk/case-1.json").read_text())
        with Image.open(tmp_path / "mask.png") as mask:
            assert np.array_equal(np.asarray(mask) > 0, decode(record["targets"][0]["mask"]))
        page.reload()
        page.wait_for_selector(".ic tr[aria-current] >> text=case-1")
        assert opened.complaints == []
        page.context.close()
