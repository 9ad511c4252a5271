"""Where a click lands: twenty discs of known places, found by their hue on the screen, and clicked."""

import colorsys
import io
import time
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from support.browsers import needs_chromium, open_page, started_browser
from support.recorded_clicks import served_pictures

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)"),  # of pandas, to Gradio's queue
]
SIZES = {"square": (512, 512), "wide": (900, 300), "tall": (300, 900), "photo": (1024, 683), "strip": (1600, 200)}
HUES = [tuple(round(255 * part) for part in colorsys.hsv_to_rgb(index / 20, 1, 1)) for index in range(20)]
WINDOWS = [(1280, 900), (820, 700), (390, 844)]
RADIUS = 12


class Disc(NamedTuple):
    """``x``, ``y``: of its centre on the page, in CSS pixels; ``index``: of its hue."""

    index: int
    x: float
    y: float


def centres(size):
    """Twenty pixels on a jittered grid."""
    width, height = size
    columns = max(1, min(20, round((20 * width / height) ** 0.5)))
    columns = next(count for count in (columns, 4, 5, 10) if 20 % count == 0)
    rows, jitter = 20 // columns, np.random.default_rng(7)
    places = []
    for index in range(20):
        x, y = (index % columns + 0.5) * width / columns, (index // columns + 0.5) * height / rows
        x += jitter.uniform(-0.2, 0.2) * width / columns
        y += jitter.uniform(-0.2, 0.2) * max(0, height / rows - 2 * RADIUS)
        places.append((int(x), int(y)))
    return places


def picture(size):
    drawn = Image.new("RGB", size, (24, 24, 24))
    for (x, y), hue in zip(centres(size), HUES, strict=True):
        ImageDraw.Draw(drawn).ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=hue)
    return drawn


def build_table():
    """The number of the disc that each colour is of, counted from 1; 0 for none."""
    table = np.zeros((256, 256, 256), np.uint8)
    for number, hue in enumerate(HUES, 1):
        table[tuple(slice(max(0, part - 13), part + 14) for part in hue)] = number
    return table


TABLE = build_table()


def find_discs(page, ratio, indices=range(20)):
    """Those of some discs that are wholly on the stage and in the window."""
    box, window = page.locator(".iv-stage").bounding_box(), page.viewport_size
    left, top = max(0, box["x"]), max(0, box["y"])
    right, bottom = min(window["width"], box["x"] + box["width"]), min(window["height"], box["y"] + box["height"])
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    image = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(image), 2, 0)
    hues = TABLE[red, green, blue]
    places, found = ndimage.find_objects(hues, len(HUES)), []
    for index in indices:
        if places[index] is None:
            continue
        labels, _ = ndimage.label(hues[places[index]] == index + 1, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        rows, columns = np.nonzero(labels == sizes.argmax() + 1)
        rows, columns = rows + places[index][0].start, columns + places[index][1].start
        high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        cut = (
            rows.min() == 0 or columns.min() == 0 or rows.max() + 1 == image.height or columns.max() + 1 == image.width
        )
        if not cut and len(rows) > 3 and 0.7 < wide / high < 1.43:
            x, y = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
            found.append(Disc(index, left + x / ratio, top + y / ratio))
    return found


def zoom_in(page, disc, ratio):
    """Turn the wheel over a disc and drag it to the middle, twice, and find it there."""
    box = page.locator(".iv-stage").bounding_box()
    for _ in range(2):
        page.mouse.move(disc.x, disc.y)
        for _ in range(3):
            page.mouse.wheel(0, -120)
        page.wait_for_timeout(100)  # a wheel's events come later than the call returns
        (disc,) = find_discs(page, ratio, [disc.index])
        page.mouse.move(disc.x, disc.y)
        page.mouse.down(button="middle")
        page.mouse.move(box["x"] + box["width"] / 2 + 3.5, box["y"] + box["height"] / 2 - 2.25, steps=3)
        page.mouse.up(button="middle")
        page.wait_for_timeout(60)
        (disc,) = find_discs(page, ratio, [disc.index])
    return disc


def wait_for(count, recorded):
    until = time.monotonic() + 10
    while len(recorded) < count:
        assert time.monotonic() < until, "a click got lost"
        time.sleep(0.005)


def errors_of(discs, press, service, size):
    """How far off each click is, in pixels of the picture."""
    (width, height), off = size, []
    for disc in discs:
        before = len(service.clicks)
        press(disc.x, disc.y)
        wait_for(before + 1, service.clicks)
        x, y, _ = service.clicks[-1]
        at = centres(size)[disc.index]
        off.append(max(abs(x * width - at[0] - 0.5), abs(y * height - at[1] - 0.5)))
    return off


def shown_pixels(page, size, ratio):
    """Pixels of the picture in one device pixel, at fit."""
    box = page.locator(".iv-stage").bounding_box()
    return max(size[0] / box["width"], size[1] / box["height"]) / ratio


@pytest.fixture(scope="module")
def served():
    with served_pictures({name: picture(size) for name, size in SIZES.items()}) as served:
        yield served


@pytest.fixture(scope="module")
def browser():
    with started_browser() as browser:
        yield browser


def show(browser, served, name, window, **context):
    address, service = served
    opened = open_page(browser, f"{address}/?s={name}", *window, **context)
    page, size = opened.page, SIZES[name]
    page.wait_for_selector(f'.iv[data-ready="{size[0]}x{size[1]}"]')
    page.evaluate("document.querySelector('.iv-stage').scrollIntoView({block: 'center'})")
    page.wait_for_timeout(150)
    return opened, page, service, size


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("window", WINDOWS)
def test_every_click_lands_where_it_was_made(browser, served, window, ratio):
    for name in SIZES:
        opened, page, service, size = show(browser, served, name, window, device_scale_factor=ratio)
        discs = find_discs(page, ratio)
        assert len(discs) >= 19, (name, len(discs))
        assert max(errors_of(discs, page.mouse.click, service, size)) <= max(1, shown_pixels(page, size, ratio)), name
        for disc in (discs[0], discs[11], discs[-1]):
            near = [zoom_in(page, disc, ratio)]
            assert max(errors_of(near, page.mouse.click, service, size)) <= 1, name
            page.keyboard.press("0")
        assert opened.complaints == []
        page.context.close()


def test_a_click_lands_after_the_window_changed_and_the_page_scrolled(browser, served):
    _, page, service, size = show(browser, served, "photo", (1280, 900))
    box = page.locator(".iv-stage").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.wheel(0, -360)
    page.set_viewport_size({"width": 760, "height": 600})
    page.evaluate("document.body.style.paddingBottom = '900px'; scrollBy(0, 35)")
    page.wait_for_timeout(200)
    discs = find_discs(page, 1)
    assert len(discs) >= 2
    assert max(errors_of(discs, page.mouse.click, service, size)) <= 1.1
    page.context.close()


def test_fingers_tap_and_pinch(browser, served):
    phone = {"device_scale_factor": 2, "has_touch": True, "is_mobile": True}
    _, page, service, size = show(browser, served, "photo", (390, 844), **phone)
    discs = find_discs(page, 2)
    assert len(discs) == 20
    assert max(errors_of(discs, page.touchscreen.tap, service, size)) <= shown_pixels(page, size, 2)
    client, box, before = (
        page.context.new_cdp_session(page),
        page.locator(".iv-stage").bounding_box(),
        len(service.clicks),
    )
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind, *places):
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 11):
        touch("touchMove", (x - 20 - 6 * step, y), (x + 20 + 6 * step, y))
    touch("touchEnd")
    page.wait_for_timeout(150)
    assert len(service.clicks) == before, "a pinch is no click"
    assert page.evaluate("visualViewport.scale") == 1
    discs = find_discs(page, 2)
    assert discs
    assert max(errors_of(discs, page.touchscreen.tap, service, size)) <= 1
    page.context.close()


def test_a_box_is_dragged_and_the_second_button_or_n_is_negative(browser, served):
    _, page, service, size = show(browser, served, "square", (1280, 900))
    by_index = {disc.index: disc for disc in find_discs(page, 1)}
    page.click("[data-tool=box]")
    page.mouse.move(by_index[13].x, by_index[13].y)
    page.mouse.down()
    page.mouse.move(by_index[2].x, by_index[2].y, steps=5)
    page.mouse.up()
    wait_for(1, service.boxes)
    (ax, ay), (bx, by) = centres(size)[13], centres(size)[2]
    expected = [min(ax, bx) + 0.5, min(ay, by) + 0.5, max(ax, bx) + 0.5, max(ay, by) + 0.5]
    assert np.abs(np.array(service.boxes[-1]) * 512 - expected).max() <= 1.1
    before = len(service.clicks)
    page.keyboard.press("p")
    page.mouse.click(by_index[5].x, by_index[5].y, button="right")
    wait_for(before + 1, service.clicks)
    page.keyboard.press("n")
    page.mouse.click(by_index[5].x, by_index[5].y)
    wait_for(before + 2, service.clicks)
    page.keyboard.press("p")
    page.mouse.click(by_index[5].x, by_index[5].y)
    wait_for(before + 3, service.clicks)
    assert [positive for _, _, positive in service.clicks[before:]] == [False, False, True]
    page.context.close()


def test_an_example_is_given_by_its_button_or_s_and_the_second_button_is_negative(browser, served):
    _, page, service, size = show(browser, served, "square", (1280, 900))
    (disc,) = find_discs(page, 1, [5])
    page.click("[data-tool=similar]")
    page.mouse.click(disc.x, disc.y)
    wait_for(1, service.examples)
    page.keyboard.press("p")
    page.keyboard.press("s")
    page.mouse.click(disc.x, disc.y, button="right")
    wait_for(2, service.examples)
    at = (np.array(centres(size)[5]) + 0.5) / 512
    assert np.abs(np.array([given[:2] for given in service.examples]) - at).max() <= 1.1 / 512
    assert [positive for _, _, positive in service.examples] == [True, False]
    page.context.close()
