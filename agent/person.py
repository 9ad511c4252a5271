"""What a person may say to a run, at a review or from outside, and what it makes of the state."""

from collections.abc import Mapping
from typing import Any

from ibisagent.agent.absence import is_unsure, says_present
from ibisagent.agent.actions import EVERY_KIND, Action, Backtrack, Decline, Redo, Stop, Terminate, from_plain, to_plain
from ibisagent.agent.parsing import parse_reply
from ibisagent.agent.state import State, StopReason
from ibisagent.agent.steps import history, queued, step_of, steps_in_force, steps_of_turn
from ibisagent.tools.clicks import Click, pixel_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.grids import Mask
from ibisagent.tools.masks import area

__all__ = ["contradicted", "end_of", "not_yours", "overruled", "pointless", "said"]


def said(state: State, words: Action | Mapping[str, Any] | str | bool) -> dict[str, Any]:
    """Give the update that a person's words make; `InputError` says in a line what is wrong with them.

    ``words``: "accept" (or True), a reply or an action as text ("Redo", "Negative Point (0.41, 0.52)"), an action, its
    plain form, or ``{"answer": "..."}`` to accept with another answer. An acceptance is a step of its own.
    """
    action, answer = _read(words)
    trouble = pointless(state, action)
    if trouble is not None:
        raise InputError(trouble)
    item = queued(to_plain(action), "person")
    if not isinstance(action, Stop):
        return {"queue": [item], "stop": None, "answer": None, "error": None, "feedback": None}
    return {
        "steps": [step_of(state, item, state["mask"], state["score"])],
        "stop": end_of(state, action) if isinstance(action, Decline) else state["stop"] or end_of(state, action),
        "answer": answer if answer is not None else state["answer"],
        "queue": [],
    }


def _read(words: object) -> tuple[Action, str | None]:
    if words is True or words == "accept":
        return Terminate(), None
    if isinstance(words, str):
        reply = parse_reply(f"{words}\n", allow=EVERY_KIND)  # a person's line is whole, whatever it ends with
        if reply.action is None:
            raise InputError(reply.error or "no action")
        return reply.action, reply.answer
    if isinstance(words, Mapping):
        answer = words.get("answer")
        return from_plain({"type": "terminate"} | dict(words)), answer if isinstance(answer, str) else None
    if isinstance(words, Action):
        return words, None
    raise InputError(f"got {type(words).__name__}: expected 'accept', an action as text, or its plain form")


def pointless(state: State, action: Action | None) -> str | None:
    """Say why an undo or a redo has nothing to work on, if it has not."""
    if isinstance(action, Backtrack) and not state["prompts"] and state["initial_mask"] is None:
        return "Backtrack: there is nothing to undo"
    if isinstance(action, Redo) and not history(steps_of_turn(state))[1]:
        return "Redo: there is nothing to bring back"
    return None


def not_yours(state: State, action: Action | None) -> str | None:
    """Say why a policy may not undo the last prompt, if a person made it."""
    if isinstance(action, Backtrack) and state["prompts"] and steps_in_force(state)[-1]["by"] == "person":
        return "Backtrack: the last prompt is a person's and stays; click elsewhere, or terminate"
    return None


def overruled(state: State, before: Mask, after: Mask) -> bool:
    """Whether a new mask goes against a person's click in force that the mask before it, both (H, W), agreed with."""
    given = [step["action"] for step in steps_in_force(state) if step["by"] == "person"]
    clicks = [click for click in map(from_plain, filter(None, given)) if isinstance(click, Click)]
    places = [(pixel_of(click, before.shape), click.positive) for click in clicks]
    return any(before[place] == positive and after[place] != positive for place, positive in places)


def end_of(state: State, action: Stop, answer: str | None = None) -> StopReason:
    """Name what a stop of one's own free will means here; an ``answer`` that cannot tell asserts no absence."""
    if isinstance(action, Decline):
        return "declined"
    if state["prompts"] or area(state["mask"]):
        return "terminated"
    if state["kind"] == "question":
        return "answered"
    return "declined" if is_unsure(answer) else "target_absent"


def contradicted(state: State, action: Action | None, answer: str | None) -> str | None:
    """Say why a stop that would mean that the target is not there does not, where its answer says that it is."""
    if isinstance(action, Terminate) and end_of(state, action, answer) == "target_absent" and says_present(answer):
        return "Terminate: nothing is marked, and the answer says that something is; click on it, or say that it is not"
    return None
