"""Clicks that are moved: by the distance asked for, in any direction, and never off the picture."""

import math

import numpy as np
import pytest

from ibisagent.tools.clicks import Box, Click, Similar, click_to_pixel
from ibisagent.tools.perturbations.click_jitter import ClickJitter, jitter_prompt

SHAPE = (100, 200)


@pytest.mark.parametrize(("jitter", "distance"), [(ClickJitter(pixels=10), 10), (ClickJitter(share=0.1), 20)])
def test_a_click_lands_at_the_distance_in_every_direction(jitter: ClickJitter, distance: float) -> None:
    rng = np.random.default_rng(0)
    moved = [jitter_prompt(Click(0.5, 0.5, False, "liver"), SHAPE, jitter, rng) for _ in range(60)]
    angles = []
    for click in moved:
        assert isinstance(click, Click)
        assert (click.positive, click.target) == (False, "liver")
        at = click_to_pixel(click, SHAPE)
        assert math.hypot(at.row - 50, at.column - 100) == pytest.approx(distance, abs=0.8)
        angles.append(math.atan2(at.row - 50, at.column - 100))
    assert min(angles) < -2
    assert max(angles) > 2


def test_nothing_leaves_the_picture() -> None:
    rng, far = np.random.default_rng(0), ClickJitter(pixels=500)
    for prompt in (Click(0.0, 1.0), Similar(1.0, 0.0), Box(0.1, 0.2, 0.4, 0.9, "liver")):
        for _ in range(20):
            moved = jitter_prompt(prompt, SHAPE, far, rng)  # a coordinate off the picture would raise
            assert type(moved) is type(prompt)
            if isinstance(moved, Box) and isinstance(prompt, Box):
                assert moved.x1 - moved.x0 == pytest.approx(prompt.x1 - prompt.x0)
                assert moved.target == "liver"


def test_no_distance_leaves_the_pixel() -> None:
    click = jitter_prompt(Click(0.333, 0.777), SHAPE, ClickJitter(), np.random.default_rng(0))
    assert isinstance(click, Click)
    assert click_to_pixel(click, SHAPE) == click_to_pixel(Click(0.333, 0.777), SHAPE)
