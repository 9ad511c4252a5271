"""Shifts of pictures: severer ones change more, and the truth goes where the picture goes."""

import numpy as np
import pytest
from conftest import ellipse
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.perturbations.picture_shifts import SHIFTS, PictureShift, shift_picture

TRUTH = ellipse((96, 128), (36, 40), (18, 26))


def picture(*, colour: bool = False) -> MedicalImage:
    rng = np.random.default_rng(0)
    pixels = 60 + 100 * TRUTH + 60 * np.linspace(0, 1, 128) + rng.normal(0, 8, TRUTH.shape)
    shown = np.clip(pixels, 0, 255).astype(np.uint8)
    return open_image(np.stack([shown, shown // 2, 255 - shown], axis=-1) if colour else shown)


def shifted(image: MedicalImage, kind: str, severity: int, seed: int = 0) -> tuple[MedicalImage, NDArray[np.bool_]]:
    return shift_picture(image, TRUTH, PictureShift(kind, severity), np.random.default_rng(seed))


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("kind", SHIFTS)
def test_a_severer_shift_changes_the_picture_more(kind: str, colour: bool) -> None:
    image = picture(colour=colour)
    before = image.pixels.astype(float)
    changes = []
    for severity in range(1, len(SHIFTS[kind].levels) + 1):
        after, truth = shifted(image, kind, severity)
        assert after.pixels.shape == image.pixels.shape
        assert (truth.shape, truth.dtype, truth.flags.writeable) == (TRUTH.shape, np.bool_, False)
        changes.append(float(np.abs(after.pixels - before).mean()))
    assert changes[0] > 0.3
    assert changes == sorted(changes)
    assert len(set(changes)) == len(changes)


def test_equal_generators_make_equal_pictures() -> None:
    for kind in SHIFTS:
        first, second, other = (shifted(picture(), kind, 1, seed)[0].sha for seed in (0, 0, 1))
        assert first == second
        assert (other != first) == (kind in ("noise", "gamma", "rotation", "window") and other != first)


def test_a_flip_takes_the_truth_along_and_twice_is_none() -> None:
    once, truth = shifted(picture(), "flip", 1)
    assert np.array_equal(once.pixels, picture().pixels[:, ::-1])
    assert np.array_equal(truth, TRUTH[:, ::-1])
    twice, back = shift_picture(once, truth, PictureShift("flip", 1), np.random.default_rng(0))
    assert np.array_equal(twice.pixels, picture().pixels)
    assert np.array_equal(back, TRUTH)


@pytest.mark.parametrize("severity", [1, 5])
def test_a_turned_truth_lies_on_the_turned_target(severity: int) -> None:
    pixels = np.where(TRUTH, 200, 50).astype(np.uint8)
    image, truth = shift_picture(
        open_image(pixels), TRUTH, PictureShift("rotation", severity), np.random.default_rng(3)
    )
    assert iou(image.pixels > 125, truth) > 0.95
    assert iou(TRUTH, truth) < 0.95


def test_spacing_stays_and_what_no_longer_holds_goes() -> None:
    pixels = picture().pixels
    given = MedicalImage(pixels, picture().grid, Spacing(0.5, 0.7), values=pixels.astype(np.float32), modality="CT")
    image, _ = shifted(given, "gamma", 2)
    assert (image.spacing, image.modality, image.values, image.uri) == (Spacing(0.5, 0.7), "CT", None, None)


def test_a_target_that_leaves_the_picture_is_refused() -> None:
    corner = np.zeros(TRUTH.shape, bool)
    corner[0, 0] = corner[0, -1] = True
    with pytest.raises(InputError, match="got nothing of the target left in the picture"):
        shift_picture(picture(), corner, PictureShift("rotation", 5), np.random.default_rng(0))


@pytest.mark.parametrize(("kind", "severity"), [("fog", 1), ("noise", 0), ("noise", 6), ("flip", 2)])
def test_a_shift_that_there_is_none_of_is_refused(kind: str, severity: int) -> None:
    with pytest.raises(InputError, match=r"expected one of noise 1 to 5, .* flip 1 to 1"):
        PictureShift(kind, severity)
