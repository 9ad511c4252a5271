"""What CT slices and chest radiographs of drawn people must hold: sides, lesions in their organs, what covers what."""

import numpy as np
import pytest

from ibisagent.training.phantoms.canvas import PhantomCanvas
from ibisagent.training.phantoms.generators import chest_xray, ct_abdomen

SEEDS = range(24)


def drawings(generator):
    """Draw the seeds' pictures, easy ones."""
    return [generator.generate(np.random.default_rng(seed), 96, 0.0) for seed in SEEDS]


def together(generator, *names):
    """Return the masks of those names from the pictures that show them all."""
    found = [
        [drawing.masks[name] for name in names] for drawing in drawings(generator) if drawing.masks.keys() >= {*names}
    ]
    assert len(found) > 3
    return found


def middle(mask):
    """The column in the middle of a mask."""
    return np.nonzero(mask)[1].mean()


@pytest.mark.parametrize(
    ("generator", "right", "left"),
    [
        (ct_abdomen, "right kidney", "left kidney"),
        (ct_abdomen, "liver", "spleen"),
        (chest_xray, "right lung", "left lung"),
        (chest_xray, "right lung", "heart"),
    ],
)
def test_patients_right_is_on_the_pictures_left(generator, right, left):
    assert all(middle(first) < middle(second) for first, second in together(generator, right, left))


@pytest.mark.parametrize(
    ("generator", "lesion", "organ"), [(ct_abdomen, "liver tumour", "liver"), (chest_xray, "lung nodule", "lungs")]
)
def test_lesion_lies_inside_its_organ(generator, lesion, organ):
    assert not any((inner & ~outer).any() for inner, outer in together(generator, lesion, organ))


@pytest.mark.parametrize(
    ("generator", "first", "second"),
    [
        (ct_abdomen, "liver", "right kidney"),
        (ct_abdomen, "spleen", "left kidney"),
        (ct_abdomen, "aorta", "vertebra"),
        (chest_xray, "lungs", "heart"),
        (chest_xray, "lungs", "pleural effusion"),
    ],
)
def test_neighbours_share_no_pixel(generator, first, second):
    assert not any((one & other).any() for one, other in together(generator, first, second))


def test_both_lungs_are_the_two_lungs():
    for both, right, left in together(chest_xray, "lungs", "right lung", "left lung"):
        np.testing.assert_array_equal(both, right | left)


@pytest.mark.parametrize("generator", [ct_abdomen, chest_xray])
def test_target_is_never_both_there_and_absent(generator):
    for drawing in drawings(generator):
        assert not drawing.masks.keys() & set(drawing.absent)
        assert set(drawing.lesions) <= drawing.masks.keys() | set(drawing.absent)


def test_frame_puts_the_point_in_the_middle_and_zooms():
    canvas = PhantomCanvas(np.random.default_rng(0), 33, warp=0, turn=0, shift=0, scale=0)
    x, y = canvas.X.copy(), canvas.Y.copy()
    canvas.set_view(0.5, 0.2, -0.3)
    np.testing.assert_allclose([canvas.X, canvas.Y], [x / 2 + 0.2, y / 2 - 0.3], atol=1e-6)
