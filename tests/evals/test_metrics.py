"""Segmentation figures against SimpleITK, against every pair of surface pixels, and against masks worked by hand."""

import json
import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.distance import cdist

from ibisagent.evals.metrics import (
    Calibration,
    CalibrationBin,
    CaseMetrics,
    calibration,
    case_metrics,
    count_components,
    dice,
    group_metrics,
    hd95,
    nsd,
)
from ibisagent.evals.stats import Bootstrap, Interval
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.masks.measure import iou, measure

VALUES_ONLY = Bootstrap(resamples=0)
KINDS = ("blobs", "shifted", "border", "lines", "pixels", "specks", "full", "no mask", "no truth", "nothing")


def drawn(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


def blobs(rng, shape, level=0.0):
    noise = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 4))
    return noise > level * noise.std()


def disc(rng, shape, centre):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((rows - centre[0]) / rng.uniform(2, 9)) ** 2 + ((columns - centre[1]) / rng.uniform(2, 9)) ** 2 < 1


def pair(kind, seed):
    """Two (H, W) masks of a kind, and a spacing (row, column) in mm up to ten times finer along one axis."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    shape = tuple(int(side) for side in rng.integers(12, 48, 2))
    spacing = Spacing(*rng.uniform(0.3, 3.0, 2))
    empty, mask, truth = np.zeros(shape, bool), blobs(rng, shape, 0.5), blobs(rng, shape, 0.5)
    if kind == "shifted":
        truth, mask = disc(rng, shape, (11, 12)), np.roll(disc(rng, shape, (11, 12)), rng.integers(-5, 6, 2), (0, 1))
    elif kind == "border":
        edges = [(0, shape[1] // 2), (shape[0] - 1, shape[1] // 3), (shape[0] // 2, 0), (shape[0] - 1, shape[1] - 1)]
        truth, mask = (disc(rng, shape, edges[rng.integers(4)]) for _ in range(2))
    elif kind == "lines":
        truth, mask = empty.copy(), empty.copy()
        truth[rng.integers(shape[0])], mask[:, rng.integers(shape[1])] = True, True
    elif kind == "pixels":
        truth, mask = empty.copy(), empty.copy()
        truth.flat[rng.integers(truth.size)], mask.flat[rng.integers(mask.size)] = True, True
    elif kind == "specks":
        truth, mask = rng.random(shape) < 0.1, rng.random(shape) < 0.6
    elif kind == "full":
        mask = ~empty
        truth = truth if seed % 2 else ~empty
    elif kind == "no mask":
        mask = empty
    elif kind == "no truth":
        truth = empty
    elif kind == "nothing":
        mask = truth = empty
    return mask, truth, spacing


def itk(mask, spacing, pad=0):
    image = sitk.GetImageFromArray(np.pad(mask, pad).astype(np.uint8))
    image.SetSpacing((spacing[1], spacing[0]))
    return image


def itk_distances(mask, truth, spacing):
    """By SimpleITK's contours and distance maps, on pictures padded so that the edge is a contour too."""
    contours = [sitk.LabelContour(itk(each, spacing, pad=1), False) for each in (mask, truth)]
    inside = [sitk.GetArrayFromImage(contour) > 0 for contour in contours]
    maps = [sitk.SignedMaurerDistanceMap(each, False, False, True) for each in contours]
    near = [np.abs(sitk.GetArrayFromImage(each)) for each in maps]
    return near[1][inside[0]], near[0][inside[1]]


def plain_distances(mask, truth, spacing):
    """By the distances between all pairs of surface pixels, found one by one."""
    surfaces = [np.array([at for at in np.argwhere(each) if on_surface(each, *at)]) * spacing for each in (mask, truth)]
    distances = cdist(*surfaces)
    return distances.min(axis=1), distances.min(axis=0)


def on_surface(mask, row, column):
    sides = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return any(not (0 <= r < mask.shape[0] and 0 <= c < mask.shape[1] and mask[r, c]) for r, c in sides)


def itk_pieces(mask):
    count = sitk.ConnectedComponentImageFilter()
    count.FullyConnectedOn()
    count.Execute(itk(mask, (1.0, 1.0)))
    return count.GetObjectCount()


def itk_overlap(mask, truth):
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(itk(truth, (1.0, 1.0)), itk(mask, (1.0, 1.0)))
    return overlap.GetDiceCoefficient(), overlap.GetJaccardCoefficient()


def itk_area(mask, spacing):
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(itk(mask, spacing))
    return shape.GetPhysicalSize(1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_random_pairs_agree_with_simpleitk_and_with_all_pairs_of_pixels(kind):
    for seed in range(50):
        mask, truth, spacing = pair(kind, seed)
        got = case_metrics(mask, truth, spacing)
        assert (got.components, got.true_components) == (itk_pieces(mask), itk_pieces(truth))
        if not (mask.any() and truth.any()):
            agreed = float(mask.any() == truth.any())
            assert (got.dice, got.iou, got.nsd_mm, got.hd95_mm) == (agreed, agreed, agreed, 0.0 if agreed else None)
            continue
        area, true_area = itk_area(mask, spacing), itk_area(truth, spacing)
        assert (got.dice, got.iou) == pytest.approx(itk_overlap(mask, truth))
        assert got.area_error_mm2 == pytest.approx(area - true_area, abs=1e-6)
        assert got.area_error_relative == pytest.approx(area / true_area - 1)
        for distances in (itk_distances(mask, truth, spacing), plain_distances(mask, truth, spacing)):
            assert got.hd95_mm == pytest.approx(max(np.percentile(each, 95) for each in distances), rel=1e-5, abs=1e-4)
            assert got.nsd_mm == pytest.approx((np.concatenate(distances) <= 2.0).mean(), abs=1e-12)


SQUARE = drawn("......", ".###..", ".###..", ".###..", "......")
TALLER = drawn("......", ".###..", ".###..", ".###..", ".###..")


def test_a_row_too_many_worked_by_hand():
    """9 true pixels, 12 in the mask, all 9 shared. Surfaces have 8 and 10 pixels.

    From the mask: its lowest row lies 2 mm below the truth's; the left and right pixels of the row above lie on it and
    the rest too, so ten distances are 0 but three of 2. Backwards only the truth's lowest middle pixel is off the
    mask's surface, by one column of 0.5 mm.
    """
    assert case_metrics(TALLER, SQUARE, Spacing(2.0, 0.5), tolerance=1.0) == CaseMetrics(
        intersection_px=9,
        union_px=12,
        area_px=12,
        true_area_px=9,
        dice=18 / 21,
        iou=0.75,
        hd95_mm=2.0,
        hd95_px=None,
        nsd_mm=(7 + 8) / 18,
        nsd_px=None,
        tolerance=1.0,
        diagonal=math.hypot(10, 3),
        area_error_px=3,
        area_error_mm2=3.0,
        area_error_relative=3 / 9,
        components=1,
        true_components=1,
    )


def test_without_a_spacing_distances_are_in_pixels():
    got = case_metrics(TALLER, SQUARE, tolerance=0.5)
    assert (got.hd95_px, got.nsd_px, got.diagonal) == (1.0, (7 + 7) / 18, math.hypot(5, 6))
    assert (got.hd95_mm, got.nsd_mm, got.area_error_mm2, got.area_error_px) == (None, None, None, 3)


def test_the_percentile_is_linear_between_ranks_and_the_larger_direction_counts():
    line, dot = drawn("#" * 21), drawn("#" + "." * 20)
    assert hd95(line, dot) == hd95(dot, line) == 19.0
    assert hd95(drawn("##" + "." * 19), dot) == pytest.approx(0.95)


def test_a_target_cut_off_by_the_edge_has_a_surface_there():
    """On the edge of the picture as one pixel away from it, every figure is the same."""
    truth, mask = drawn("####", "####", "####"), drawn("####", "####", "....")
    inner = [np.pad(each, 1) for each in (mask, truth)]
    assert hd95(mask, truth) == hd95(*inner) == 1.0
    assert nsd(mask, truth, tolerance=0.5) == nsd(*inner, tolerance=0.5) == (6 + 6) / 18


def test_the_order_of_the_spacing_is_row_then_column():
    left, lower = drawn("#..", "...", "..."), drawn("...", "...", "#..")
    assert hd95(left, lower, Spacing(row=3.0, column=0.1)) == 6.0
    assert hd95(left.T, lower.T, Spacing(row=3.0, column=0.1)) == pytest.approx(0.2)


@pytest.mark.parametrize("step", [0.1, 0.3, 0.7, 1.0])
def test_a_surface_at_just_the_tolerance_is_within_it(step):
    near, far = drawn("#......."), drawn("...#....")
    assert nsd(near, far, (1.0, step), tolerance=3 * round(10 * step) / 10) == 1.0
    assert nsd(near, far, (1.0, step), tolerance=2.99 * step) == 0.0
    assert nsd(near, near, (1.0, step), tolerance=0.0) == 1.0


def test_volumes_are_measured_as_pictures_are():
    volume = np.zeros((3, 4, 5), bool)
    volume[0, 1, 1] = True
    moved = np.roll(volume, 2, axis=0)
    assert hd95(volume, moved, (2.5, 1.0, 1.0)) == 5.0
    assert nsd(volume, moved, (2.5, 1.0, 1.0), tolerance=5.0) == 1.0
    assert (dice(volume, moved), dice(volume, volume), count_components(volume | moved)) == (0.0, 1.0, 2)


def test_hd95_is_nan_when_one_mask_alone_is_empty():
    assert math.isnan(hd95(SQUARE, np.zeros_like(SQUARE)))
    assert math.isnan(hd95(np.zeros_like(SQUARE), SQUARE))


@pytest.mark.parametrize(("mask", "error"), [(SQUARE, None), (~SQUARE, None), (SQUARE & False, 0.0)])
def test_the_relative_area_error_of_an_absent_target(mask, error):
    assert case_metrics(mask, SQUARE & False).area_error_relative == error
    assert case_metrics(SQUARE & False, SQUARE).area_error_relative == -1.0


def test_small_fragments_can_be_left_out():
    mask = drawn("##..#", "##.#.", ".....", "#....")
    assert [count_components(mask, smallest) for smallest in (1, 2, 3, 5)] == [3, 2, 1, 0]
    assert count_components(mask) == measure(mask, None)["components"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_is_plain_json_and_says_the_same_of_the_masks_as_the_loop(kind):
    mask, truth, spacing = pair(kind, 0)
    got = case_metrics(mask, truth, spacing)
    assert CaseMetrics(**json.loads(json.dumps(got._asdict(), allow_nan=False))) == got
    assert (got.present, got.predicted) == (bool(truth.any()), bool(mask.any()))
    assert got.iou == iou(mask, truth) == (got.intersection_px / got.union_px if got.union_px else 1.0)
    assert got.area_px == measure(mask, None)["area_px"]


@pytest.mark.parametrize(
    ("mask", "truth", "spacing", "tolerance", "says"),
    [
        (SQUARE, SQUARE[1:], None, 2.0, r"mask of \(5, 6\).*truth of \(4, 6\)"),
        (SQUARE.astype(np.uint8), SQUARE, None, 2.0, "masks of uint8 and bool"),
        (SQUARE, SQUARE, (1.0,), 2.0, "expected 2 numbers above 0"),
        (SQUARE, SQUARE, (1.0, 0.0), 2.0, "expected 2 numbers above 0"),
        (SQUARE, SQUARE, (1.0, math.nan), 2.0, "expected 2 numbers above 0"),
        (SQUARE, SQUARE, None, -1.0, "tolerance of -1.0"),
        (SQUARE[None], SQUARE[None], None, 2.0, r"masks of \(1, 5, 6\)"),
    ],
)
def test_what_cannot_be_measured_raises(mask, truth, spacing, tolerance, says):
    with pytest.raises(InputError, match=says):
        case_metrics(mask, truth, spacing, tolerance=tolerance)


NOTHING = drawn("........")
GROUP = [
    case_metrics(drawn("####...."), drawn("####....")),  # right: 4 of 4
    case_metrics(drawn("##......"), drawn("######..")),  # too small: 2 of 6
    case_metrics(drawn(".......#"), drawn("##......")),  # elsewhere: 0 of 3
    case_metrics(NOTHING, drawn("##......")),  # given up: 0 of 2
    case_metrics(drawn("#......."), NOTHING),  # found what is not there: 0 of 1
    case_metrics(drawn("#.#....."), NOTHING),  # and again: 0 of 2
    case_metrics(NOTHING, NOTHING),  # rightly refused
]


def values(cases, **options):
    return {name: found.value for name, found in group_metrics(cases, bootstrap=VALUES_ONLY, **options).items()}


def test_a_group_worked_by_hand():
    """One hit among 4 present targets and 5 answers; surfaces and areas in the order of the cases."""
    hausdorff = [0.0, 3.75, 6.95, 0.0]  # 3.75: the truth's pixels are 0, 0, 1, 2, 3 and 4 from the mask
    assert values(GROUP) == pytest.approx(
        {
            "dice_per_case": (1 + 4 / 8 + 0 + 0 + 0 + 0 + 1) / 7,
            "iou_per_case": (1 + 2 / 6 + 0 + 0 + 0 + 0 + 1) / 7,
            "dice_pooled": 2 * 6 / (8 + 8 + 3 + 2 + 1 + 2),
            "iou_pooled": 6 / (4 + 6 + 3 + 2 + 1 + 2),
            "hd95_mm": None,
            "hd95_mm_penalised": None,
            "hd95_px": sum(hausdorff) / 4,
            "hd95_px_penalised": (sum(hausdorff) + 3 * math.hypot(8, 1)) / 7,
            "nsd_mm": None,
            "nsd_px": (1 + 6 / 8 + 0 + 0 + 0 + 0 + 1) / 7,
            "area_error_mm2": None,
            "area_error_relative": (0 - 4 / 6 - 1 / 2 - 1 + 0) / 5,
            "area_error_relative_absolute": (0 + 4 / 6 + 1 / 2 + 1 + 0) / 5,
            "excess_components": (0 + 0 + 0 - 1 + 1 + 2 + 0) / 7,
            "f1": 2 * 1 / (4 + 5),
            "precision": 1 / 5,
            "recall": 1 / 4,
            "sensitivity": 3 / 4,
            "specificity": 1 / 3,
        }
    )


def test_what_is_undefined_is_left_out_and_counted():
    found = group_metrics(GROUP, bootstrap=VALUES_ONLY)
    assert {name: (found[name].n, found[name].missing) for name in ("hd95_px", "hd95_mm", "specificity", "f1")} == {
        "hd95_px": (4, 3),
        "hd95_mm": (0, 7),
        "specificity": (3, 4),
        "f1": (6, 1),
    }


def test_a_hit_lies_above_the_threshold():
    half = [case_metrics(drawn("##.."), drawn("####"))]
    assert [values(half, threshold=at)["f1"] for at in (0.49, 0.5)] == [1.0, 0.0]


def test_pooled_figures_are_those_of_all_pixels_laid_side_by_side():
    pairs = [pair(kind, seed) for kind in KINDS for seed in range(5)]
    mask, truth = (np.concatenate([each[side].ravel() for each in pairs]) for side in (0, 1))
    got = values([case_metrics(*each) for each in pairs])
    assert (got["iou_pooled"], got["dice_pooled"]) == (iou(mask, truth), dice(mask, truth))


def test_a_group_of_right_refusals():
    got = values([GROUP[-1]] * 2)
    assert {name: value for name, value in got.items() if value is not None} == {
        "dice_per_case": 1.0,
        "iou_per_case": 1.0,
        "dice_pooled": 1.0,
        "iou_pooled": 1.0,
        "hd95_px": 0.0,
        "hd95_px_penalised": 0.0,
        "nsd_px": 1.0,
        "area_error_relative": 0.0,
        "area_error_relative_absolute": 0.0,
        "excess_components": 0.0,
        "specificity": 1.0,
    }


def test_a_group_without_a_case_has_no_figures():
    assert set(group_metrics([]).values()) == {Interval(None, None, None, 0, 0, 0)}


def test_millimetres_and_pixels_are_never_averaged():
    cases = [case_metrics(TALLER, SQUARE, Spacing(2.0, 0.5)), case_metrics(TALLER, SQUARE)]
    got = values(cases)
    assert (got["hd95_mm"], got["hd95_px"], got["area_error_mm2"]) == (2.0, 1.0, 3.0)
    with pytest.raises(InputError, match="several tolerances"):
        group_metrics([*cases, case_metrics(TALLER, SQUARE, tolerance=1.0)])


def test_every_figure_of_a_group_lies_in_its_interval():
    cases = [case_metrics(*pair(kind, seed)) for kind in KINDS for seed in range(4)]
    found = group_metrics(cases, [index // 4 for index in range(40)], bootstrap=Bootstrap(resamples=500))
    for name, figure in found.items():
        if not name.endswith(("_px", "_px_penalised")):
            assert figure.low <= figure.value <= figure.high, name


def test_calibration_worked_by_hand():
    scores, ious = [0.9, 0.95, 0.5, None, 1.2, -0.1, math.nan], [0.7, 0.95, 0.6, 0.1, 0.8, 0.0, 0.2]
    got = calibration(scores, ious, bins=2)
    assert got == Calibration(
        n=5,
        missing=2,
        mae=pytest.approx((0.2 + 0 + 0.1 + 0.4 + 0.1) / 5),
        bias=pytest.approx((0.2 + 0 - 0.1 + 0.4 - 0.1) / 5),
        ece=pytest.approx((1 * 0.1 + 4 * (3.55 - 3.05) / 4) / 5),
        spearman=pytest.approx(0.9),
        bins=(
            CalibrationBin(0.0, 0.5, 1, -0.1, 0.0),
            CalibrationBin(0.5, 1.0, 4, pytest.approx(3.55 / 4), pytest.approx(3.05 / 4)),
        ),
    )


def test_calibration_of_no_score_and_of_equal_ones():
    assert calibration([None], [0.5]) == Calibration(0, 1, None, None, None, None, ())
    assert calibration([0.5, 0.5], [0.5, 0.5]) == Calibration(
        2, 0, 0.0, 0.0, 0.0, None, (CalibrationBin(0.5, 0.6, 2, 0.5, 0.5),)
    )
    with pytest.raises(InputError, match="1 scores for 2 IoUs"):
        calibration([0.5], [0.5, 0.5])
