"""What CT slices and chest radiographs of drawn people must hold: sides, lesions in their organs, what covers what."""

import numpy as np
import pytest

from ibisagent.training.phantoms.canvas import Canvas
from ibisagent.training.phantoms.generators import chest_xray, ct_abdomen

SEEDS = range(24)


def drawings(artist):
    """Draw the seeds' pictures, easy ones."""
    return [artist.draw(np.random.default_rng(seed), 96, 0.0) for seed in SEEDS]


def together(artist, *names):
    """Give the masks of those names from the pictures that show them all."""
    found = [
        [drawing.masks[name] for name in names] for drawing in drawings(artist) if drawing.masks.keys() >= {*names}
    ]
    assert len(found) > 3
    return found


def middle(mask):
    """The column in the middle of a mask."""
    return np.nonzero(mask)[1].mean()


@pytest.mark.parametrize(
    ("artist", "right", "left"),
    [
        (ct_abdomen, "right kidney", "left kidney"),
        (ct_abdomen, "liver", "spleen"),
        (chest_xray, "right lung", "left lung"),
        (chest_xray, "right lung", "heart"),
    ],
)
def test_patients_right_is_on_the_pictures_left(artist, right, left):
    assert all(middle(first) < middle(second) for first, second in together(artist, right, left))


@pytest.mark.parametrize(
    ("artist", "lesion", "organ"), [(ct_abdomen, "liver tumour", "liver"), (chest_xray, "lung nodule", "lungs")]
)
def test_lesion_lies_inside_its_organ(artist, lesion, organ):
    assert not any((inner & ~outer).any() for inner, outer in together(artist, lesion, organ))


@pytest.mark.parametrize(
    ("artist", "first", "second"),
    [
        (ct_abdomen, "liver", "right kidney"),
        (ct_abdomen, "spleen", "left kidney"),
        (ct_abdomen, "aorta", "vertebra"),
        (chest_xray, "lungs", "heart"),
        (chest_xray, "lungs", "pleural effusion"),
    ],
)
def test_neighbours_share_no_pixel(artist, first, second):
    assert not any((one & other).any() for one, other in together(artist, first, second))


def test_both_lungs_are_the_two_lungs():
    for both, right, left in together(chest_xray, "lungs", "right lung", "left lung"):
        np.testing.assert_array_equal(both, right | left)


@pytest.mark.parametrize("artist", [ct_abdomen, chest_xray])
def test_target_is_never_both_there_and_absent(artist):
    for drawing in drawings(artist):
        assert not drawing.masks.keys() & set(drawing.absent)
        assert set(drawing.lesions) <= drawing.masks.keys() | set(drawing.absent)


def test_frame_puts_the_point_in_the_middle_and_zooms():
    canvas = Canvas(np.random.default_rng(0), 33, warp=0, turn=0, shift=0, scale=0)
    x, y = canvas.X.copy(), canvas.Y.copy()
    canvas.frame(0.5, 0.2, -0.3)
    np.testing.assert_allclose([canvas.X, canvas.Y], [x / 2 + 0.2, y / 2 - 0.3], atol=1e-6)
