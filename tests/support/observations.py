"""Observations, and pictures to observe, for policies that are called outside of the loop."""

from dataclasses import replace
from typing import Any

import numpy as np
from conftest import ellipse
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.policies import Observation, Turn
from ibisagent.tools.clicks import Click
from support.fakes import positive


def make_picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return a coloured picture, (height, width, 3) uint8, that every resizing changes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def make_observation(request: str, shown: NDArray[np.uint8], **changes: Any) -> Observation:
    """Return an observation of a picture and a request."""
    height, width = shown.shape[:2]
    mask = ellipse((height, width), (height / 2, width / 2), (height / 4, width / 4))
    seen = Observation(
        picture=shown,
        frame=CoordinateFrame("unit", width, height),
        mask=mask,
        image_sha="0",
        request=request,
        kind="segment",
        step=0,
        prompts=(),
        undone=(),
        has_initial_mask=False,
        score=None,
        actions=("point", "backtrack", "terminate"),
    )
    return replace(seen, **changes)


def make_observations() -> list[Observation]:
    """Return observations whose conversations differ in length, in the size of the picture and in their number."""
    turns = tuple(Turn(make_picture(80, 120, seed), positive(0.2, 0.3)) for seed in (5, 6))
    return [
        make_observation("Segment the liver.", make_picture(96, 96)),
        make_observation("Segment the lesion in the upper left part of the liver.", make_picture(70, 130, 1)),
        make_observation(
            "Segment it.", make_picture(160, 90, 2), prompts=(Click(0.5, 0.5),), undone=(Click(0.25, 0.25),)
        ),
        make_observation("Segment the cyst.", make_picture(80, 120, 3), turns=turns),
    ]
