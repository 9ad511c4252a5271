"""What the policy is shown of a state."""

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.actions import Action, from_plain
from ibisagent.agent.graph_components import Components
from ibisagent.agent.policies.base import Observation, Turn
from ibisagent.agent.state import State, StepRecord, active_target, proposed_by
from ibisagent.agent.steps import active_prompts, steps_of_request
from ibisagent.agent.view import read_view
from ibisagent.tools.masks.rle import rle_key

__all__ = ["build_observation"]

_MOST_UNDONE = 3  # undone actions that are shown


def build_observation(state: State, components: Components) -> Observation:
    """Build what the policy is shown of the state."""
    target, view = active_target(state), read_view(state["run"]["view"])
    image = components.images.open(state["image"])
    return Observation(
        picture=components.view.picture(image, target["mask"], view),
        frame=components.view.frame(image, target["mask"], view),
        mask=components.view.mask(target["mask"]),
        image_sha=image.sha,
        request=state["request"],
        kind=state["kind"],
        step=sum(step["origin"] == "reply" for step in state["steps"]),
        prompts=active_prompts(state),
        undone=_undone_actions(state) if components.config.undo_notice else (),
        has_initial_mask=target["initial_mask"] is not None,
        initial_mask_by=proposed_by(target),
        score=target["score"],
        actions=components.config.actions,
        feedback=state["feedback"],
        turns=_previous_turns(state, components) if components.config.context == "history" else (),
        seed=state["run"]["seed"],
    )


def _undone_actions(state: State) -> tuple[Action, ...]:
    target = active_target(state)
    here = rle_key(target["mask"])
    actions = [from_plain(undone["action"]) for undone in target["undone"] if undone["mask"] == here]
    return tuple(actions[-_MOST_UNDONE:])


def _previous_turns(state: State, components: Components) -> tuple[Turn, ...]:
    masks = {target["name"]: target["start"] for target in state["target_states"]}
    turns: list[tuple[StepRecord, str]] = []  # a reply's step, and the key of the mask that it met
    for step in steps_of_request(state):
        if step["origin"] == "reply":
            turns.append((step, masks[step["target"]]))
        masks[step["target"]] = step["mask"]
    left = _turns_without_picture(len(turns), components.config.pictures)
    return tuple(
        Turn(
            None if number in left else _render_turn(state, components, step, key),
            components.store.get(step["reply"] or "")["text"],
        )
        for number, (step, key) in enumerate(turns)
    )


def _render_turn(state: State, components: Components, step: StepRecord, key: str) -> NDArray[np.uint8]:
    image = components.images.open(state["image"])
    return components.view.picture(image, components.store.get_mask(key), read_view(step["view"]))


def _turns_without_picture(turns: int, most: int | None) -> range:
    """Return the earlier turns whose picture is left out, so that ``most`` are shown with the current one."""
    return range(0) if most is None or turns < most else range(min(1, most - 1), turns - max(0, most - 2))
