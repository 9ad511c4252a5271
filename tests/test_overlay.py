"""What the policy sees: byte for byte the blend that the released weights were trained on."""

import numpy as np
import pytest
from conftest import ellipse

from ibisagent.agent.overlay import fit, overlay


def blended(pixels, mask):
    """The formula, written plainly."""
    picture = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    green = np.floor(0.6 * picture.astype(np.float64) + 0.4 * np.array([34, 139, 34]) + 0.5)
    return np.where(mask[..., None], green, picture).astype(np.uint8)


@pytest.mark.parametrize("mask", ["ellipse", "empty", "full", "corner"])
@pytest.mark.parametrize("channels", [None, 3])
def test_bytes_equal_the_formula(mask, channels):
    shape = (96, 128) if channels is None else (96, 128, channels)
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    masks = {"ellipse": ellipse(), "empty": np.zeros((96, 128), bool), "full": np.ones((96, 128), bool)}
    masks["corner"] = np.zeros((96, 128), bool)
    masks["corner"][-1, -1] = True
    before = pixels.copy()
    assert np.array_equal(overlay(pixels, masks[mask]), blended(pixels, masks[mask]))
    assert np.array_equal(pixels, before)


def test_every_grey_value_is_right():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(overlay(pixels, np.ones((16, 16), bool)), blended(pixels, np.ones((16, 16), bool)))


def test_masks_that_are_views_are_drawn_alike():
    pixels, mask = np.full((128, 96), 90, np.uint8), ellipse().T
    assert np.array_equal(overlay(pixels, mask), blended(pixels, mask))


@pytest.mark.parametrize(("shape", "shown"), [((400, 200), (100, 50)), ((3, 4000), (1, 100)), ((80, 80), (80, 80))])
def test_large_pictures_are_shrunk_to_the_side(shape, shown):
    assert fit(np.zeros((*shape, 3), np.uint8), 100).shape == (*shown, 3)
