"""Measurements of masks, compared as whole values and with closed forms."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.distance import pdist
from scipy.special import ellipe
from skimage.measure import euler_number, find_contours, label, regionprops
from support.geometry_fixtures import write_volume

from ibisagent.tools.imaging.grids import Grid, Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.axes import measure_axes, measure_perimeter, trace_outline
from ibisagent.tools.masks.measure import describe_measurements, measure, measure_on_image

SPACINGS = [Spacing(1, 1), Spacing(0.5, 2), Spacing(3, 0.8)]
ANGLES = [0, 0.3, 0.8, math.pi / 2, 2.4]
NOWHERE = {"bbox": None, "centroid": None, "components": 0, "holes": 0, "side": None}
NO_VALUES = {"value_mean": None, "value_sd": None, "value_unit": None}
NO_PIXELS = {"long_axis_px": None, "short_axis_px": None, "perimeter_px": None}
NO_MM = {"long_axis_mm": None, "short_axis_mm": None, "perimeter_mm": None}


def turned(shape, spacing, angle):
    """Where each pixel's centre lies in mm along and across a direction, from the picture's middle."""
    row, column = ((np.arange(length) - (length - 1) / 2) * step for length, step in zip(shape, spacing, strict=True))
    y, x = np.meshgrid(row, column, indexing="ij")
    return math.cos(angle) * x + math.sin(angle) * y, -math.sin(angle) * x + math.cos(angle) * y


def ellipse(spacing, angle, long, short):
    """A picture just larger than an ellipse with these semi-axes in mm."""
    shape = tuple(int(2 * long / step) + 7 for step in spacing)
    along, across = turned(shape, spacing, angle)
    return (along / long) ** 2 + (across / short) ** 2 <= 1


def rectangle(spacing, angle, long, short):
    shape = tuple(int(2 * math.hypot(long, short) / step) + 7 for step in spacing)
    along, across = turned(shape, spacing, angle)
    return (np.abs(along) <= long) & (np.abs(across) <= short)


def halves(first, second):
    """Where the patient's sides lie in a picture that shows one in its first columns and the other in its last."""
    return lambda x, y: first if x < 0.5 else second if x > 0.5 else None


# Whole values


def test_measures_of_a_rectangle():
    mask = np.zeros((10, 20), bool)
    mask[2:4, 5:9] = True
    values = np.full(mask.shape, -1000, np.float32)
    values[2, 5:9], values[3, 5:9] = 40, 60
    found = measure(mask, Spacing(row=0.5, column=2.0), values, unit="HU", side_of=halves("right", "left"))
    assert found == {
        "area_px": 8,
        "area_mm2": 8.0,
        "fraction": 0.04,
        "bbox": [2, 5, 3, 8],
        "centroid": [0.35, 0.3],
        "components": 1,
        "holes": 0,
        "long_axis_px": pytest.approx(math.hypot(4, 1)),
        "short_axis_px": pytest.approx(2 * math.hypot(1, 1 / 4)),  # across the diagonal
        "perimeter_px": pytest.approx(measure_perimeter(mask, Spacing(1, 1))),
        "long_axis_mm": pytest.approx(math.hypot(8, 0.5)),
        "short_axis_mm": pytest.approx(math.hypot(1, 0.5 / 8)),
        "perimeter_mm": pytest.approx(measure_perimeter(mask, Spacing(0.5, 2.0))),
        "value_mean": 50.0,
        "value_sd": 10.0,
        "value_unit": "HU",
        "side": "right",
    }


def test_an_empty_mask_has_no_place_and_no_lengths():
    empty = {"area_px": 0, "fraction": 0.0, **NOWHERE, **NO_PIXELS, **NO_MM, **NO_VALUES}
    mask, values = np.zeros((10, 20), bool), np.zeros((10, 20), np.float32)
    assert measure(mask, None) == {**empty, "area_mm2": None}
    assert measure(mask, Spacing(1, 1), values, unit="HU", side_of=halves("right", "left")) == {
        **empty,
        "area_mm2": 0.0,
    }


def test_without_spacing_there_are_pixels_and_no_mm():
    found = measure(np.ones((3, 4), bool), None)
    assert {name: value for name, value in found.items() if name.endswith(("_mm", "_mm2"))} == {
        "area_mm2": None,
        **NO_MM,
    }
    assert all(found[name] > 0 for name in ("area_px", *NO_PIXELS))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_measures_agree_with_skimage(mask):
    got = measure(mask, Spacing(2, 3))
    assert json.loads(json.dumps(got)) == got
    assert got["components"] == label(mask, connectivity=2).max()
    assert got["components"] - got["holes"] == euler_number(mask, connectivity=2)
    if mask.any():
        (region,) = regionprops(mask.astype(np.uint8))
        top, left, bottom, right = region.bbox
        assert got["bbox"] == [top, left, bottom - 1, right - 1]
        assert got["area_mm2"] == 6 * region.area
        row, column = region.centroid
        centre = [(column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]]
        assert got["centroid"] == pytest.approx(centre, abs=1e-12)


def test_components_touch_at_corners_and_holes_do_not():
    mask = np.eye(4, dtype=bool)
    mask[0, 3] = True
    assert measure(mask, None)["components"] == 2
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert measure(diamond, None)["holes"] == 1


def test_a_ring_has_a_hole_that_counts_in_its_perimeter_and_not_in_its_axes():
    disc, hole = (ellipse(Spacing(1, 1), 0, radius, radius) for radius in (60, 20))
    ring = disc.copy()
    margin = (len(disc) - len(hole)) // 2
    ring[margin:-margin, margin:-margin] &= ~hole
    whole, found = measure(disc, Spacing(1, 1)), measure(ring, Spacing(1, 1))
    assert (whole["holes"], found["holes"]) == (0, 1)
    assert [found[name] for name in ("long_axis_mm", "short_axis_mm")] == [
        whole[name] for name in ("long_axis_mm", "short_axis_mm")
    ]
    assert found["perimeter_mm"] == pytest.approx(2 * math.pi * (60 + 20), rel=0.01)


# Closed forms


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("angle", ANGLES)
def test_a_turned_ellipse(spacing, angle):
    long, short = 90.0, 55.0
    found = measure(ellipse(spacing, angle, long, short), spacing)
    pixel = math.hypot(*spacing)
    assert found["area_mm2"] == pytest.approx(math.pi * long * short, rel=0.005)
    assert found["long_axis_mm"] == pytest.approx(2 * long, abs=pixel)
    assert found["short_axis_mm"] == pytest.approx(2 * short, abs=pixel)
    assert found["perimeter_mm"] == pytest.approx(4 * long * ellipe(1 - (short / long) ** 2), rel=0.02)
    assert found["centroid"] == pytest.approx([0.5, 0.5], abs=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("angle", ANGLES)
def test_a_turned_rectangle_is_as_long_as_its_diagonal(spacing, angle):
    long, short = 80.0, 40.0
    found = measure(rectangle(spacing, angle, long, short), spacing)
    diagonal, pixel = 2 * math.hypot(long, short), math.hypot(*spacing)
    assert found["area_mm2"] == pytest.approx(4 * long * short, rel=0.03)
    assert found["long_axis_mm"] == pytest.approx(diagonal, abs=pixel)
    # Across the diagonal a chord runs from one long side to the other; a small turn of the diagonal moves its ends.
    assert found["short_axis_mm"] == pytest.approx(short * diagonal / long, abs=2 * pixel)
    assert found["perimeter_mm"] == pytest.approx(4 * (long + short), rel=0.05)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_single_pixels_and_lines_are_as_wide_as_a_pixel(spacing):
    row, column = spacing
    pixel = np.zeros((5, 5), bool)
    pixel[2, 2] = True
    for mask, tall, wide in ((pixel, 1, 1), (np.ones((1, 9), bool), 1, 9), (np.ones((9, 1), bool), 9, 1)):
        found = measure(mask, spacing)
        longest = max(tall * row, wide * column)
        # The outline cuts corners, so that the ends of a line taper.
        assert found["long_axis_mm"] == pytest.approx(longest)
        assert found["short_axis_mm"] == pytest.approx(min(tall * row, wide * column))


def test_a_mask_that_fills_the_picture_is_measured_to_its_border():
    found = measure(np.ones((40, 40), bool), Spacing(1, 1))
    assert found["long_axis_mm"] == pytest.approx(math.hypot(40, 39))
    assert (found["fraction"], found["components"], found["holes"]) == (1.0, 1, 0)
    assert found["bbox"] == [0, 0, 39, 39]


def test_axes_are_those_of_the_largest_part():
    mask = np.zeros((20, 40), bool)
    mask[1, 1:36] = True
    alone = np.zeros_like(mask)
    alone[6:16, 5:15] = True
    both, one = measure(mask | alone, Spacing(1, 2)), measure(alone, Spacing(1, 2))
    assert [both[name] for name in ("long_axis_mm", "short_axis_mm")] == [
        one[name] for name in ("long_axis_mm", "short_axis_mm")
    ]
    assert both["components"] == 2


def test_short_axis_is_the_longest_line_at_right_angles_between_outline_points_of_a_bent_shape():
    rows, columns = np.mgrid[:90, :120]
    distance = np.hypot(rows - 80, columns - 60)
    bent = (distance < 75) & (distance > 50) & (rows < 80) & (columns > 5)
    pieces = trace_outline(bent)
    pair = measure_axes(pieces, Spacing(1, 1))
    points = pieces.reshape(-1, 2)
    gaps = points[:, None] - points[None]
    distances = np.hypot(gaps[..., 0], gaps[..., 1])
    first, last = np.unravel_index(distances.argmax(), distances.shape)
    along = gaps[first, last] / distances[first, last]
    nearly_across = np.abs(gaps @ along) < 0.002 * distances
    assert pair.long == distances.max()
    assert pair.short == pytest.approx(distances[nearly_across].max(), abs=0.2)


def test_long_axis_is_the_largest_distance_between_any_two_contour_points():
    rng = np.random.default_rng(0)
    checked = 0
    while checked < 500:
        shape = rng.integers(1, 40, 2)
        density = rng.choice([0.03, 0.3, 0.6, 0.9])
        mask = rng.random(shape) < density
        if not mask.any():
            continue
        spacing = Spacing(*rng.uniform(0.2, 4, 2))
        found = measure(mask, spacing)
        labels = label(mask, connectivity=2)
        largest = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
        contours = find_contours(np.pad(largest, 1).astype(float), 0.5, fully_connected="high")
        assert found["long_axis_mm"] == pytest.approx(pdist(np.concatenate(contours) * spacing).max(), rel=1e-12)
        assert 0 < found["short_axis_mm"] <= found["long_axis_mm"] * (1 + 1e-12)
        checked += 1


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_turning_and_flipping_changes_no_length(mask):
    spacing = Spacing(2.0, 0.7)
    sizes = np.sort(np.bincount(label(mask, connectivity=2).ravel())[1:])
    assume(len(sizes) < 2 or sizes[-1] > sizes[-2])  # of equal parts the first is measured
    expected = measure(mask, spacing)
    for other, across in ((mask[::-1], spacing), (mask[:, ::-1], spacing), (mask.T, Spacing(*spacing[::-1]))):
        found = measure(other, across)
        for name in ("area_mm2", "long_axis_mm", "perimeter_mm"):
            assert found[name] == (pytest.approx(expected[name]) if mask.any() else expected[name])


@pytest.mark.parametrize("ratio", [1, 3, 10])
def test_the_perimeter_of_a_disc_does_not_depend_on_the_pixels(ratio):
    spacing = Spacing(0.2, 0.2 * ratio)
    assert measure_perimeter(ellipse(spacing, 0, 50, 50), spacing) == pytest.approx(2 * math.pi * 50, rel=0.03)


@pytest.mark.parametrize("spacing", [Spacing(1e-6, 1e3), Spacing(1e3, 1e-6), Spacing(1e-9, 1e-9)], ids=str)
def test_absurd_pixels_are_measured_all_the_same(spacing):
    mask = ellipse(Spacing(1, 1), 0, 40, 20)
    found = measure(mask, spacing)
    assert found["long_axis_mm"] == pytest.approx(max(80 * spacing.column, 40 * spacing.row), rel=0.05)
    assert found["perimeter_mm"] > found["long_axis_mm"]


# Values and sides


def test_values_that_are_not_finite_are_left_out():
    values = np.array([[1, np.nan, 3, np.inf]], np.float32)
    found = measure(np.ones((1, 4), bool), None, values)
    assert (found["value_mean"], found["value_sd"], found["value_unit"]) == (2.0, 1.0, None)
    unknown = measure(np.ones((1, 4), bool), None, np.full((1, 4), np.nan, np.float32), unit="HU")
    assert {name: unknown[name] for name in NO_VALUES} == NO_VALUES


@pytest.mark.parametrize(
    ("columns", "side"),
    [
        (slice(0, 4), "right"),
        (slice(6, 10), "left"),
        (slice(4, 6), "both"),
        (slice(2, 6), "right"),
        (slice(3, 7), "both"),
        (slice(0, 10), "both"),
    ],
)
def test_a_side_holds_three_quarters_of_the_mask(columns, side):
    mask = np.zeros((6, 10), bool)
    mask[1, columns] = True
    assert measure(mask, None, side_of=halves("right", "left"))["side"] == side
    across = measure(mask.T, None, side_of=lambda x, y: halves("right", "left")(y, x))
    assert across["side"] == side


def test_a_side_that_is_not_known_is_none():
    mask = np.zeros((1, 9), bool)
    mask[0, 4] = True
    assert measure(mask, None, side_of=halves("right", "left"))["side"] is None
    assert measure(mask, None, side_of=lambda x, y: None)["side"] is None
    assert measure(mask, None)["side"] is None


def test_an_image_gives_its_spacing_and_values():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    image = MedicalImage(
        values.astype(np.uint8), Grid(values.shape), spacing=Spacing(2.0, 3.0), values=values, modality="CT"
    )
    mask = values > 9
    assert measure_on_image(mask, image) == measure(mask, Spacing(2.0, 3.0), values, unit="HU")
    plain = MedicalImage(values.astype(np.uint8), Grid(values.shape))
    assert measure_on_image(mask, plain) == measure(mask, None)


@pytest.mark.parametrize(("columns", "side"), [(slice(0, 2), "right"), (slice(2, 4), "left"), (slice(1, 3), "both")])
def test_an_axial_slice_shows_the_patient_s_right_on_its_left(tmp_path, columns, side):
    image = open_image(write_volume(tmp_path / "a.nii", "LPS"), slice="axial:2")
    mask = np.zeros(image.shape, bool)
    mask[:, columns] = True
    assert measure_on_image(mask, image)["side"] == side


# In words


def test_measures_in_one_line():
    mask = ellipse(Spacing(0.5, 0.5), 0.4, 20.5, 13.5)
    values = np.where(mask, 46, -1000).astype(np.float32)
    wide = np.pad(mask, ((0, 0), (0, 200)))
    found = measure(
        wide, Spacing(0.5, 0.5), np.pad(values, ((0, 0), (0, 200))), unit="HU", side_of=halves("right", "left")
    )
    assert describe_measurements(found) == "area 870 mm², 41 x 27 mm, 1 part, 46 ± 0 HU, patient's right"


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ([[0, 0]], "empty"),
        ([[1, 1]], "area 2 px, 2 x 1 px, 1 part"),
        ([[1, 0, 1, 1]], "area 3 px, 2 parts, the largest 2 x 1 px"),
        ([[1, 1, 1], [1, 0, 1], [1, 1, 1]], "area 8 px, 3.6 x 3.6 px, 1 part, 1 hole"),
        ([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], "area 13 px, 5.4 x 3.2 px, 1 part, 2 holes"),
    ],
)
def test_without_spacing_the_line_says_pixels(mask, words):
    assert describe_measurements(measure(np.array(mask, bool), None)) == words


def test_records_of_before_have_a_line_too():
    before = {"area_px": 8, "area_mm2": 8.0, "fraction": 0.04, "bbox": [2, 5, 3, 8], "components": 1}
    assert describe_measurements(before) == "area 8 mm²"
    assert describe_measurements({}) == "empty"
