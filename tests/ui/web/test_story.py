"""The page in a browser, over the real server with the small model: from an example to files on the disk."""

import csv
import io
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from support.browsers import needs_chromium, open_page, place_of, started_browser
from support.web_server import web_server

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.example_folder import draw_unseen_phantom, load_scan_with_lesion

pytestmark = [pytest.mark.slow, needs_chromium]
HOSTILE = 'the <img src="http://elsewhere.invalid/x.png" onerror="document.title=1"> thing'


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with web_server(tmp_path_factory.mktemp("web")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with started_browser() as browser:
        yield browser


@pytest.fixture
def opened(browser, address):
    """A page in a browser of its own; at the end it has asked no other host for anything, and complained of nothing."""
    opened = open_page(browser, address)
    yield opened
    opened.page.context.close()
    assert opened.hosts == {urlsplit(address).netloc}
    assert opened.complaints == []


def idle(page):
    page.wait_for_selector(".iv:not([data-state=running])", timeout=60_000)


def steps_of(page):
    return int(page.get_attribute(".iv", "data-steps"))


def wait_for_steps(page, count):
    page.wait_for_selector(f'.iv[data-steps="{count}"]:not([data-state=running])', timeout=60_000)


def shown_mask(page):
    return decode(page.evaluate("document.querySelector('.iv').mask"))


def open_example(page, name):
    page.click(f"[data-example={name}]")
    page.wait_for_selector('.iv:not([data-ready=""])[data-state=waiting]')


def ask(page, words):
    page.fill("#words textarea", words)
    page.click("#go")


def click(page, x, y):
    before = steps_of(page)
    page.mouse.click(*place_of(page, x, y))
    wait_for_steps(page, before + 1)


def read_pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def download(page, name, folder):
    with page.expect_download() as download:
        page.click(f'.id-files a[download="{name}"]')
    path = folder / name
    download.value.save_as(path)
    return path


def upload(page, name, content, kind="image"):
    if page.is_visible("[data-do=open]"):
        page.click("[data-do=open]" if kind == "image" else ".iv-menu summary")
    with page.expect_file_chooser() as chooser:
        page.click(f"[data-upload={kind}]")
    chooser.value.set_files([{"name": name, "mimeType": "application/octet-stream", "buffer": content}])


def record_steps(page):
    """Have the page note each state that it shows, with its number of steps."""
    page.evaluate("""() => {
      const seen = window.seen = [], view = document.querySelector('.iv');
      const note = () => seen.push([view.dataset.state, Number(view.dataset.steps)]);
      new MutationObserver(note).observe(view, {attributes: true, attributeFilter: ['data-state', 'data-steps']});
    }""")


def test_the_whole_story(opened, tmp_path):
    page = opened.page
    open_example(page, "wrong-mask")
    assert page.input_value("#words textarea") == "Segment the spleen."
    record_steps(page)
    page.click("#go")
    page.wait_for_function("+document.querySelector('.iv').dataset.steps >= 3")
    idle(page)
    assert steps_of(page) == 3, "the mask is dropped, a click, the end"
    seen = page.evaluate("window.seen")
    assert len({steps for state, steps in seen if state == "running"} - {0}) >= 2, "steps appear while the run goes on"
    asked, before = time.monotonic(), steps_of(page)
    ask(page, "Segment the spleen, a little more of it.")
    page.wait_for_function(f"+document.querySelector('.iv').dataset.steps > {before}", polling=20)
    seconds = time.monotonic() - asked
    sys.stderr.write(f"\nfirst step of the second request after {seconds:.2f} s\n")
    assert seconds < 2
    idle(page)
    assert page.locator("#chat .message.user").count() == 2
    assert page.locator("#chat .children .thought-group").count() == steps_of(page) + 1, "and the initial mask"

    mask, count = shown_mask(page), steps_of(page)
    height, width = mask.shape
    row, column = height * 3 // 10, width // 2
    assert not mask[row, column]
    click(page, (column + 0.5) / width, (row + 0.5) / height)
    assert shown_mask(page)[row, column], "a click changes the mask where it is"
    page.click("[data-event=undo]")
    wait_for_steps(page, count + 2)
    assert np.array_equal(shown_mask(page), mask)

    page.evaluate("document.activeElement.blur()")
    while page.get_attribute(".iv", "data-shown") != "2":
        page.keyboard.press("ArrowLeft")
    assert all(page.is_disabled(f"[data-event={name}]") for name in ("accept", "undo", "redo"))
    assert f"of the last step, {count + 2}" in page.inner_text(".id")
    page.keyboard.press("Enter")
    assert steps_of(page) == count + 2, "nor does a key accept what is not shown"
    page.click("[data-do=fork]")
    page.wait_for_selector('.id[data-branches="2"]')
    idle(page)
    assert steps_of(page) != count + 2
    page.click(".id-tree text[role=button]")
    wait_for_steps(page, count + 2)
    assert np.array_equal(shown_mask(page), mask)
    page.locator(".iv-stage").focus()
    page.keyboard.press("Enter")
    wait_for_steps(page, count + 3)
    assert "Accepted" in page.inner_text(".iv-outcome")

    page.reload()
    wait_for_steps(page, count + 3)
    assert np.array_equal(shown_mask(page), mask), "a reload keeps the session"
    assert np.array_equal(decode(json.loads(download(page, "mask.json", tmp_path).read_text())), mask)
    assert np.array_equal(read_pixels(download(page, "mask.png", tmp_path)), mask * np.uint8(255))
    record = Trajectory.from_json(json.loads(download(page, "trajectory.json", tmp_path).read_text()))
    assert record.steps[-1].index == count + 3
    assert np.array_equal(decode(record.mask), mask)
    assert read_pixels(download(page, "overlay.png", tmp_path)).shape == (height, width, 3)
    assert read_pixels(download(page, "steps.png", tmp_path)).shape[1] > width
    (measured,) = csv.DictReader(download(page, "measurements.csv", tmp_path).read_text().splitlines())
    assert int(measured["area_px"]) == mask.sum()


def test_a_proposal_is_step_0_and_can_be_undone(opened):
    page = opened.page
    open_example(page, "spleen")
    page.click("#go")
    page.wait_for_selector(".iv[data-start=mask]")
    idle(page)
    chat = page.inner_text("#chat")
    assert "0. Proposed by nano" in chat
    proposed, count = shown_mask(page), steps_of(page)
    assert f"score 0.79, {proposed.sum():,} px, " in chat
    assert page.locator(".id-plot title", has_text="at the start").count() == 3, "score, area and IoU"
    page.locator(".iv-stage").focus()
    while page.get_attribute(".iv", "data-shown") != "0":
        page.keyboard.press("ArrowLeft")
    assert np.array_equal(shown_mask(page), proposed)
    assert page.inner_text(".iv-count") == "Start"
    assert "Proposed by nano" in page.inner_text(".iv-note")
    page.locator(".iv-stage").focus()
    while page.get_attribute(".iv", "data-shown") != str(count):
        page.keyboard.press("ArrowRight")
    page.click("[data-event=undo]")
    wait_for_steps(page, count + 1)
    assert not shown_mask(page).any(), "undo drops it"
    page.click("[data-event=redo]")
    wait_for_steps(page, count + 2)
    assert np.array_equal(shown_mask(page), proposed), "and redo brings it back"
    page.click("[data-event=undo]")
    wait_for_steps(page, count + 3)
    click(page, 0.775, 0.505)
    assert shown_mask(page)[int(0.505 * 256), int(0.775 * 256)]


def test_the_three_error_stories_end_as_they_are_meant(opened, address):
    """An absent target is said to be absent; a mask that does not fit is taken back, a wrong click is outweighed."""
    page = opened.page
    open_example(page, "absent")
    page.click("#go")
    page.wait_for_selector(".iv-outcome[data-kind=absent]")
    assert "Nothing proposed" in page.inner_text("#chat")
    assert not shown_mask(page).any()
    for name, shown in (("wrong-mask", "1. Backtrack"), ("wrong-click", "2. Negative Point")):
        page.goto(address)
        open_example(page, name)
        page.click("#go")
        page.wait_for_selector(".iv-outcome[data-kind=done]", timeout=60_000)
        assert shown in page.inner_text("#chat")
        figures = page.locator(".id-plot title", has_text="IoU").all_text_contents()
        values = [float(text.rpartition(" ")[2]) for text in figures]
        assert values[0] < 0.1, name
        assert values[-1] > 0.7, name


def test_a_volume_by_hand_and_its_files(opened, tmp_path):
    pixels, truth = draw_unseen_phantom("spleen")
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    values = np.stack([np.zeros_like(grey), grey, grey], axis=-1).transpose(1, 0, 2)[::-1, ::-1].astype(np.float32)
    values[40, 40, 1] = np.nan
    source = tmp_path / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.diag([0.8, 0.8, 3.0, 1])), source)
    page = opened.page
    upload(page, "volume.nii.gz", source.read_bytes())
    page.wait_for_selector('.iv:not([data-ready=""])[data-state=waiting]')
    assert "yourself" in page.inner_text(".iv-hint"), "by hand is offered first where the picture is real"
    page.select_option("[data-plane]", "axial")
    idle(page)
    page.wait_for_selector(f'.iv-facts:has-text("1 of {truth.size:,} pixels have no finite value")')
    rows, columns = np.nonzero(truth)
    click(page, float(columns.mean() + 0.5) / truth.shape[1], float(rows.mean() + 0.5) / truth.shape[0])
    mask = shown_mask(page)
    assert mask.any()
    names = {link.get_attribute("download") for link in page.locator(".id-files a").all()}
    assert {"mask.nii.gz", "mask.nrrd", "mask.json", "mask.png", "measurements.csv"} <= names
    chosen = json.loads(download(page, "trajectory.json", tmp_path).read_text())["image"]["slice"]
    image = open_image(source, slice=chosen)
    for name in sorted(names & {"mask.nii.gz", "mask.nrrd", "mask.json", "mask.png"}):
        assert np.array_equal(read_mask(download(page, name, tmp_path), image), mask), name


def test_a_real_scan_by_hand_and_its_dicom_seg(opened, tmp_path):
    _, truth = load_scan_with_lesion()
    page = opened.page
    open_example(page, "scan")
    assert page.is_visible(".iv-hint")
    rows, columns = np.nonzero(truth)
    click(page, float(columns.mean() + 0.5) / truth.shape[1], float(rows.mean() + 0.5) / truth.shape[0])
    mask = shown_mask(page)
    assert mask[round(rows.mean()), round(columns.mean())]
    segmentation = pydicom.dcmread(download(page, "mask.dcm", tmp_path))
    assert segmentation.Modality == "SEG"
    assert np.array_equal(segmentation.pixel_array.reshape(mask.shape) > 0, mask)


def test_a_true_mask_gives_figures_and_a_bad_file_a_line(opened):
    pixels, truth = draw_unseen_phantom("spleen")
    page, files = opened.page, {}
    for name, array in {"picture": pixels, "truth": truth}.items():
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        files[name] = buffer.getvalue()
    upload(page, "scan.png", files["picture"])
    page.wait_for_selector('.iv:not([data-ready=""])')
    upload(page, "truth.png", files["truth"], "truth")
    page.wait_for_selector("option[value=errors]:not([disabled])", state="attached")
    click(page, 0.78, 0.5)
    assert "IoU" in page.inner_text(".iv-note")
    page.select_option("[data-mode]", "errors")
    assert page.inner_text(".iv-legend").split() == ["right", "missed", "too", "much"]
    page.reload()
    wait_for_steps(page, 1)


def test_a_refused_file_is_said_in_one_line(browser, address):
    """Apart from the others: a browser complains of each answer 422."""
    page = open_page(browser, address).page
    upload(page, "scan.png", b"#!/bin/sh\nexit\n")
    page.wait_for_selector(".iv-outcome[data-kind=error]")
    assert "expected PNG" in page.inner_text(".iv-outcome")
    page.context.close()


def test_a_request_is_text_and_endings_differ(opened):
    page = opened.page
    title = page.title()
    open_example(page, "absent")
    page.click("#go")
    page.wait_for_selector(".iv-outcome[data-kind=absent]")
    ask(page, HOSTILE)
    page.wait_for_selector(".iv-outcome[data-kind=declined]")
    assert HOSTILE in page.inner_text("#chat"), "as it was typed, in the request and in the model's reply"
    assert page.locator("#chat img").count() == 0
    assert page.title() == title


def test_nobody_sees_anothers_session(opened, browser, address):
    page = opened.page
    open_example(page, "spleen")
    page.click("#go")
    page.wait_for_function("+document.querySelector('.iv').dataset.steps >= 1")
    idle(page)
    hrefs = [link.get_attribute("href") for link in page.locator(".id-files a").all()]
    own = [urlsplit(url).path for url in opened.requests if urlsplit(url).path.startswith("/s/")]
    handle = parse_qs(urlsplit(page.url).query)["s"][0]
    stranger = open_page(browser, page.url).page
    assert handle not in stranger.url
    for path in {*own, *hrefs}:
        assert page.request.get(address + path).status == 200
        assert stranger.request.get(address + path).status == 404
    assert stranger.get_attribute(".iv", "data-steps") == "0"
    stranger.context.close()

    page.once("dialog", lambda dialog: dialog.accept())
    page.click(".id-forget")
    page.wait_for_url(lambda url: handle not in url)
    for path in {*own, *hrefs}:
        assert page.request.get(address + path).status == 404
    page.wait_for_selector(".iv-examples button")
