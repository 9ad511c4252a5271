"""Padding is no picture: it counts in no window, percentile or value, and a click finds the same mask without it."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless
from support.dicom_series_fixtures import VOLUME, build_item, write_enhanced, write_series
from support.image_fixtures import COLOUR, build_raw_element, write_dicom

from ibisagent.agent import ImageStore, build_graph
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.replay import replay
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.clicks import Click
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import Percentiles, Window, apply_window
from ibisagent.tools.masks.measure import iou, measure_on_image
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.memo import Memo

ROWS, COLUMNS = np.mgrid[:160, :160]
LESION = (ROWS - 90) ** 2 + (COLUMNS - 60) ** 2 <= 14**2
OUTSIDE = (ROWS - 80) ** 2 + (COLUMNS - 80) ** 2 > 70**2
TISSUE = (370 + 160 * LESION + np.random.default_rng(3).normal(0, 12, LESION.shape)).astype(np.int16)
SMALL = np.array([[5, 5, 100, 140], [180, 220, 260, 300], [340, 380, 420, 5]], np.int16)
SHOWN = SMALL != 5


def padded(path, value, **elements):
    return write_dicom(path, np.where(OUTSIDE, np.int16(value), TISSUE), PixelPaddingValue=value, **elements)


def clicked(image):
    segmenter = get_segmenter("geocut")
    return segmenter.predict(segmenter.embed(image.pixels), [Click(0.378, 0.566)], None).mask


def test_a_click_finds_the_same_mask_whatever_the_padding_is(tmp_path):
    images = [open_image(padded(tmp_path / f"{value}.dcm", value)) for value in (0, -2000, 30000)]
    assert len({image.sha for image in images}) == 1
    assert iou(clicked(images[1]), LESION) > 0.9
    assert np.array_equal(clicked(images[0]), clicked(images[1]))
    assert all(np.array_equal(np.isnan(image.values), OUTSIDE) for image in images)
    assert measure_on_image(np.ones_like(LESION), images[1])["value_mean"] == pytest.approx(TISSUE[~OUTSIDE].mean())


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelPaddingValue": 5},
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 7},
        {"PixelPaddingValue": 9, "PixelPaddingRangeLimit": 2},
        {"PixelPaddingValue": build_raw_element("PixelPaddingValue", b"\5\0", "US")},
        {"PixelPaddingValue": 5, "RescaleIntercept": -1024},
    ],
    ids=["one", "range", "range downwards", "unsigned", "before the rescale"],
)
def test_padding_is_told_by_its_stored_value(tmp_path, elements):
    image = open_image(write_dicom(tmp_path / "a.dcm", SMALL, **elements))
    assert np.array_equal(np.isfinite(image.values), SHOWN)
    values = SMALL + float(elements.get("RescaleIntercept", 0))
    expected = apply_window(values, Percentiles(0.5, 99.5), values[SHOWN])
    assert np.array_equal(image.pixels, np.where(SHOWN, expected, 0))


def test_a_sign_that_the_writer_mistook_is_put_right(tmp_path):
    stored = np.where(SHOWN, SMALL, np.int16(-2000))
    element = build_raw_element("PixelPaddingValue", (63536).to_bytes(2, "little"), "US")
    assert np.array_equal(
        np.isfinite(open_image(write_dicom(tmp_path / "a", stored, PixelPaddingValue=element)).values), SHOWN
    )
    eight = SMALL.clip(0, 255).astype(np.uint8)
    image = open_image(
        write_dicom(tmp_path / "b", eight, PixelPaddingValue=build_raw_element("PixelPaddingValue", b"\x30\xf8", "SS"))
    )
    assert np.array_equal(image.pixels, eight)  # no pixel of 8 bits is -2000


def test_padding_is_black_under_every_rule_of_display(tmp_path):
    padding = {"PixelPaddingValue": 5}
    windowed = write_dicom(tmp_path / "a", SMALL, WindowCenter=100, WindowWidth=400, **padding)
    assert np.array_equal(open_image(windowed).pixels, np.where(SHOWN, apply_window(SMALL * 1.0, Window(100, 400)), 0))
    inverse = open_image(write_dicom(tmp_path / "b", SMALL, PhotometricInterpretation="MONOCHROME1", **padding))
    plain = open_image(write_dicom(tmp_path / "c", SMALL, **padding))
    assert np.array_equal(inverse.pixels, np.where(SHOWN, 255 - plain.pixels, 0))
    eight = SMALL.clip(0, 255).astype(np.uint8)
    assert np.array_equal(open_image(write_dicom(tmp_path / "d", eight, **padding)).pixels, np.where(SHOWN, eight, 0))
    colour = COLOUR[:, :6]
    assert np.array_equal(open_image(write_dicom(tmp_path / "e", colour, PixelPaddingValue=0)).pixels, colour)


RIM = ((ROWS - 80) ** 2 + (COLUMNS - 20) ** 2 < 14**2) & ~OUTSIDE
AT_RIM = Click(22.5 / 160, 80.5 / 160)
FINAL_REPLY = "<think>It fits.</think>\n<action>Terminate</action>\n<answer>There it is.</answer>"


def dark_at_the_rim(path, value, modality):
    noise = np.random.default_rng(1).normal(0, 10, RIM.shape)
    stored = np.where(OUTSIDE, value, np.where(RIM, 150, 500) + noise).astype(np.int16)
    return write_dicom(path, stored, PixelPaddingValue=value, Modality=modality, RescaleIntercept=-300, RescaleSlope=1)


@pytest.mark.parametrize("modality", ["MR", "CT"])
@pytest.mark.parametrize("value", [0, -2000])
def test_a_dark_lesion_at_the_rim_does_not_run_out_into_the_padding(tmp_path, value, modality):
    image = open_image(dark_at_the_rim(tmp_path / "a.dcm", value, modality))
    graph = build_graph(ScriptedPolicy([FINAL_REPLY]), "geocut")
    ended = graph.invoke({"image": image, "request": "Segment the lesion.", "prompts": [AT_RIM]})
    assert iou(decode(ended["mask"]), RIM) > 0.95
    record = build_trajectory(graph, ended)
    assert replay(record, "geocut", image).differences == ()
    given = graph.invoke({"image": image, "request": "Look.", "initial_mask": OUTSIDE})
    assert np.array_equal(decode(given["mask"]), OUTSIDE)  # a caller's mask stays as it is


def test_a_picture_that_looks_the_same_but_is_not_padded_keeps_its_own_mask(tmp_path):
    image = open_image(dark_at_the_rim(tmp_path / "a.dcm", -2000, "MR"))
    memo, bare = Memo(get_segmenter("geocut")), open_image(image.pixels)
    assert bare.sha == image.sha
    assert not (memo.predict(image, None, (AT_RIM,)).prediction.mask & OUTSIDE).any()
    assert (memo.predict(bare, None, (AT_RIM,)).prediction.mask & OUTSIDE).any()


def test_padding_runs_in_from_the_edge_and_comes_back_from_a_store(tmp_path):
    values = np.where(OUTSIDE | (ROWS == 90) & (COLUMNS == 60), np.nan, TISSUE).astype(np.float32)
    image = open_image(values)
    assert np.array_equal(image.padding, OUTSIDE)  # and not the hole in the lesion
    assert open_image(np.where(OUTSIDE, 0, values)).padding is None
    reference, bare = (ImageStore(tmp_path).to_reference(each) for each in (image, image.pixels))
    assert np.array_equal(ImageStore(tmp_path).open(reference).padding, OUTSIDE)
    assert ImageStore(tmp_path).open(bare).padding is None
    one = ImageStore()
    assert [one.open(one.to_reference(each)).padding is None for each in (image.pixels, image)] == [True, False]


def test_padding_of_compressed_pixels_frames_and_planes_across(tmp_path):
    dataset = dcmread(padded(tmp_path / "plain.dcm", -2000))
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")
    assert open_image(tmp_path / "rle.dcm").sha == open_image(tmp_path / "plain.dcm").sha
    value = int(VOLUME[2, 3, 4])
    write_series(tmp_path / "scan", PixelPaddingValue=value)
    many = write_enhanced(
        tmp_path / "many.dcm", PixelPaddingValue=value, frames=[{"FrameContentSequence": build_item()}] * 5
    )
    for source in (tmp_path / "scan", many):
        for wanted, holes in (("2", 1), ("1", 0), ("coronal:2", 1), ("sagittal:4", 0)):
            assert np.isnan(open_image(source, slice=wanted).values).sum() == holes
