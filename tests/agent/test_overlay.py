"""The overlay: byte for byte the blend that the released weights were trained on."""

import json

import numpy as np
import pytest
from conftest import ellipse
from PIL import Image
from support.fakes import NOT_THERE, RecordingPolicy, script
from typer.testing import CliRunner

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.config import preset
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.overlay import fit_to_side, overlay
from ibisagent.tools.errors import InputError
from ibisagent.ui.cli.app import app


def blend(pixels, mask):
    """The formula, computed naively."""
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
    assert np.array_equal(overlay(pixels, masks[mask]), blend(pixels, masks[mask]))
    assert np.array_equal(pixels, before)


def test_every_grey_value_is_right():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(overlay(pixels, np.ones((16, 16), bool)), blend(pixels, np.ones((16, 16), bool)))


def test_masks_that_are_views_are_drawn_alike():
    pixels, mask = np.full((128, 96), 90, np.uint8), ellipse().T
    assert np.array_equal(overlay(pixels, mask), blend(pixels, mask))


@pytest.mark.parametrize(("shape", "shown"), [((400, 200), (100, 50)), ((3, 4000), (1, 100)), ((80, 80), (80, 80))])
def test_large_pictures_are_shrunk_to_the_side(shape, shown):
    assert fit_to_side(np.zeros((*shape, 3), np.uint8), 100).shape == (*shown, 3)


@pytest.mark.parametrize(
    ("shape", "side", "smart_resize", "enlarge", "shown"),
    [
        ((96, 128), 512, None, True, (384, 512)),
        ((1024, 1024), 512, None, True, (512, 512)),
        ((96, 128), 512, SmartResize(), False, (84, 140)),
        ((1024, 700), 1024, SmartResize(), False, (1008, 700)),
        ((10, 900), 512, SmartResize(), True, (28, 504)),
        ((20, 20), None, SmartResize(), False, (56, 56)),
        ((1024, 1024), 1024, SmartResize(max_pixels=262144), False, (504, 504)),
        ((1024, 700), 1024, SmartResize(square_side=64), False, (56, 56)),
        ((96, 128), None, None, False, (96, 128)),
    ],
)
def test_a_picture_is_made_the_size_that_its_model_expects(shape, side, smart_resize, enlarge, shown):
    picture = np.zeros((*shape, 3), np.uint8)
    assert fit_to_side(picture, side, smart_resize, enlarge=enlarge).shape == (*shown, 3)


@pytest.mark.parametrize(
    ("config", "shown", "profile"),
    [
        (LoopConfig(), (96, 128), "unit"),
        (LoopConfig(coordinates="pixels"), (84, 140), "pixels"),
        (preset("ibis"), (384, 512), "unit"),
    ],
)
def test_the_loop_shows_a_picture_as_its_settings_say(config, shown, profile, pixels):
    policy = RecordingPolicy(script(NOT_THERE))
    build_graph(policy, "disk", config).invoke({"image": pixels, "request": "Segment it."})
    (seen,) = policy.seen
    assert (seen.picture.shape[:2], seen.frame) == (shown, CoordinateFrame(profile, shown[1], shown[0]))


def test_a_policy_s_own_coordinates_hold_unless_others_are_chosen(pixels):
    policy = RecordingPolicy(script(NOT_THERE))
    policy.coordinates = "thousand"
    for config in (LoopConfig(), LoopConfig(coordinates="unit")):
        build_graph(policy, "disk", config).invoke({"image": pixels, "request": "Segment it."})
    assert [seen.frame.profile for seen in policy.seen] == ["thousand", "unit"]


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="default, self-check, ibis"):
        preset("paper")


def test_the_preset_of_the_released_weights_is_heeded_on_the_command_line(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    told = ["segment", str(tmp_path / "scan.png"), "Segment it.", "--policy", "centre", "--out", str(tmp_path / "run")]
    assert CliRunner().invoke(app, [*told, "--preset", "ibis"]).exit_code == 0
    config = json.loads((tmp_path / "run" / "trajectory.json").read_text())["config"]
    assert (config["picture_side"], config["actions"], config["undo_notice"]) == (512, ["point", "terminate"], False)
