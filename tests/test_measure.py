"""Measurements of masks, compared as whole values."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.measure import label, regionprops

from ibisagent.tools.grids import Spacing
from ibisagent.tools.measure import measure


def test_measures_of_a_rectangle():
    mask = np.zeros((10, 20), bool)
    mask[2:4, 5:9] = True
    assert measure(mask, Spacing(row=0.5, column=2.0)) == {
        "area_px": 8,
        "area_mm2": 8.0,
        "fraction": 0.04,
        "bbox": [2, 5, 3, 8],
        "centroid": [0.35, 0.3],
        "components": 1,
    }


def test_empty_mask_has_no_place():
    assert measure(np.zeros((10, 20), bool), None) == {
        "area_px": 0,
        "area_mm2": None,
        "fraction": 0.0,
        "bbox": None,
        "centroid": None,
        "components": 0,
    }
    assert measure(np.zeros((10, 20), bool), Spacing(1, 1))["area_mm2"] == 0.0


def test_components_touch_at_corners():
    mask = np.eye(4, dtype=bool)
    mask[0, 3] = True
    assert measure(mask, None)["components"] == 2


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_measures_agree_with_skimage(mask):
    got = measure(mask, Spacing(2, 3))
    assert json.loads(json.dumps(got)) == got
    assert got["components"] == label(mask, connectivity=2).max()
    if mask.any():
        (region,) = regionprops(mask.astype(np.uint8))
        top, left, bottom, right = region.bbox
        assert got["bbox"] == [top, left, bottom - 1, right - 1]
        assert got["area_mm2"] == 6 * region.area
        row, column = region.centroid
        centre = [(column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]]
        assert got["centroid"] == pytest.approx(centre, abs=1e-12)
