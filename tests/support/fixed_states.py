"""A hundred fixed states for the policy that ships, drawn in whole numbers: the same on every machine and version.

`python tests/support/fixed_states.py` prints its replies as `tests/snapshots/nano_replies.json` holds them.
"""

import json
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.actions import Action
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.overlay import draw_mask, prepare_blend
from ibisagent.agent.policies import Observation
from ibisagent.agent.policies.local import open_named
from ibisagent.agent.policies.options import PolicyOptions
from ibisagent.tools.clicks import Box, Click, Prompt

REQUESTS = (
    "Segment the liver.",
    "Outline the spleen.",
    "Where is the left kidney?",
    "Segment the skin lesion.",
    "Mark the polyp.",
    "Find the optic disc.",
    "Segment the brain tumour.",
    "Show me the right lung.",
    "Segment the breast lesion.",
    "Is there anything abnormal? Segment it.",
)
_SIDE = 160


def blob(row: int, column: int, height: int, width: int) -> NDArray[np.bool_]:
    """Return a (160, 160) bool ellipse, computed in whole numbers."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    inside: NDArray[np.bool_] = ((y - row) * width) ** 2 + ((x - column) * height) ** 2 < (height * width) ** 2
    return inside


def make_states() -> Iterator[Observation]:
    """Yield a hundred observations: five on each of twenty pictures."""
    for number in range(20):
        drawn = np.random.default_rng(number)
        shapes = drawn.integers([30, 30, 8, 8], [130, 130, 40, 40], (5, 4))
        colours = drawn.integers(40, 230, (5, 3))
        picture = np.full((_SIDE, _SIDE, 3), drawn.integers(0, 60), np.int64)
        for shape, colour in zip(shapes, colours, strict=True):
            picture[blob(*shape)] = colour if number % 2 else colour[0]
        picture += drawn.integers(-9, 10, (_SIDE, _SIDE, 1))
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        nothing, mask = np.zeros((_SIDE, _SIDE), np.bool_), blob(*shapes[4])
        at = Click((shapes[4][1] + 0.5) / _SIDE, (shapes[4][0] + 0.5) / _SIDE)
        beside = Click(0.9, 0.1, positive=False)
        requests = [REQUESTS[(number + step) % len(REQUESTS)] for step in range(5)]
        yield _make_state(pixels, nothing, requests[0])
        yield _make_state(pixels, mask, requests[1], prompts=(at,))
        yield _make_state(pixels, mask, requests[2], prompts=(at, beside))
        yield _make_state(pixels, nothing, requests[3], undone=(at,))
        yield _make_state(pixels, mask, requests[4], prompts=(Box(0.2, 0.2, 0.7, 0.8),), has_initial_mask=True)


def _make_state(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    request: str,
    *,
    prompts: tuple[Prompt, ...] = (),
    undone: tuple[Action, ...] = (),
    has_initial_mask: bool = False,
) -> Observation:
    return Observation(
        picture=draw_mask(prepare_blend(pixels), mask),
        frame=CoordinateFrame("unit", _SIDE, _SIDE),
        mask=mask,
        image_sha="0",
        request=request,
        kind="segment",
        step=len(prompts),
        prompts=prompts,
        undone=undone,
        has_initial_mask=has_initial_mask,
        score=None,
        actions=("point", "backtrack", "terminate"),
    )


def replies() -> list[str]:
    """Return nano's reply to each of the states, as text, each asked for alone."""
    policy = open_named("nano", PolicyOptions(local_only=True))
    return [policy.act(state).text for state in make_states()]


if __name__ == "__main__":
    json.dump(replies(), sys.stdout, indent=0)
