"""A person's actions as replies of a policy: in its grammar, with a thought from the expert's templates."""

import math
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from ibisagent.agent.actions import Action, Backtrack, Decline, write_reply
from ibisagent.agent.policies.abstention.known_targets import KnownTargets, read_targets
from ibisagent.agent.policies.abstention.requested_target import parse_request
from ibisagent.agent.policies.base import Observation
from ibisagent.tools.clicks import Box, Click, Similar, click_to_pixel
from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.experts.rationales import (
    RationaleKind,
    RationaleStyle,
    click_kind,
    write_answer,
    write_rationale,
)

__all__ = ["name_target", "snap_action", "word_action"]

_UNSAID = "It cannot be judged here."


def name_target(request: str) -> str:
    """Return what a request calls its target, or "target" where it names none.

    >>> name_target("Segment the liver lesion, please."), name_target("Segment it.")
    ('liver lesion', 'target')
    """
    targets = _read_known_targets()
    parsed = parse_request(request, targets) if targets is not None else None
    mentions = (*parsed.known, *((parsed.unknown,) if parsed.unknown else ())) if parsed is not None else ()
    return " ".join(request[mentions[0].start : mentions[0].end].split()) if mentions else "target"


@cache
def _read_known_targets() -> KnownTargets | None:
    return read_targets(Path(str(files("ibisagent.agent.policies") / "nano")))


def snap_action(action: Action, width: float, truth: Mask | None) -> Action:
    """Move an action's coordinates to the centres of bins of a ``width``, in which a small model writes them.

    A click that would leave its side of ``truth``, (H, W) bool, stays where it is.
    """
    if isinstance(action, Box):
        x0, y0, x1, y1 = (_snap(each, width) for each in (action.x0, action.y0, action.x1, action.y1))
        return action if x0 == x1 or y0 == y1 else replace(action, x0=x0, y0=y0, x1=x1, y1=y1)
    if not isinstance(action, Click | Similar):
        return action
    moved = replace(action, x=_snap(action.x, width), y=_snap(action.y, width))
    if isinstance(action, Click) and isinstance(moved, Click) and truth is not None:
        before, after = (bool(truth[click_to_pixel(each, truth.shape)]) for each in (action, moved))
        return moved if before == after else action
    return moved


def _snap(value: float, width: float) -> float:
    last = round(1 / width) - 1
    return round((min(math.floor(value / width + 1e-9), last) + 0.5) * width, 4)


def word_action(
    action: Action,
    observation: Observation,
    target: str,
    style: RationaleStyle,
    rng: np.random.Generator,
    answer: str | None = None,
) -> str:
    """Write a person's action at an observation as a whole reply; ``answer``: of a stop, by default the template's."""
    if isinstance(action, Decline):
        return write_reply(_UNSAID, action, answer or _UNSAID, observation.frame)
    kind, click = _explain(action, observation)
    thought = write_rationale(kind, target, observation, click, style, rng)
    return write_reply(thought, action, answer or write_answer(kind, target, style, rng), observation.frame)


def _explain(action: Action, observation: Observation) -> tuple[RationaleKind, Click | None]:
    """Return the kind of an action's rationale, and the place that it speaks of."""
    marked = bool(observation.mask.any())
    match action:
        case Click(x, y, positive) | Similar(x, y, positive):
            return click_kind(positive, marked), Click(x, y, positive)
        case Box(x0, y0, x1, y1):
            return click_kind(True, marked), Click((x0 + x1) / 2, (y0 + y1) / 2)
        case Backtrack():
            return ("undo" if observation.prompts else "drop"), None
    return ("fits" if marked or observation.prompts else "absent"), None
