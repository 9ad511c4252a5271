"""A person's actions on a run, at a review or from outside, and the state updates that they make."""

from collections.abc import Callable, Mapping
from typing import Any

from ibisagent.agent.actions import ALL_KINDS, Action, Backtrack, Decline, Redo, Stop, Terminate, from_plain, to_plain
from ibisagent.agent.answer_assertion import read_assertion
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.agent.state import NO_RESULT, State, active_target
from ibisagent.agent.steps import active_prompt_steps, build_step_record, pending_action, steps_of_target, undo_history
from ibisagent.agent.stop_reasons import StopReason
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import area

__all__ = [
    "apply_human_action",
    "stop_reason",
    "why_inconsistent",
    "why_not_applicable",
    "why_protected",
]


def apply_human_action(
    state: State, response: Action | Mapping[str, Any] | str | bool, refusal: Callable[[Action], str | None]
) -> dict[str, Any]:
    """Return the state update of a person's action; `InputError` describes in a line what is wrong with it.

    ``response``: "accept" (or True), a reply or an action as text ("Redo", "Negative Point (0.41, 0.52)"), an action,
    its plain form, or ``{"answer": "..."}`` to accept with another answer. An acceptance is recorded as a step.
    ``refusal``: of a prompt that the segmenter does not take (`ibisagent.tools.segmenters.memo.Memo.refusal`).
    """
    action, answer = _parse_human_action(response)
    problem = refusal(action) or why_not_applicable(state, action)
    if problem is not None:
        raise InputError(problem)
    item = pending_action(to_plain(action), "person", "intervention")
    if not isinstance(action, Stop):
        return NO_RESULT | {"queue": [item], "feedback": None}
    return {
        "steps": [build_step_record(state, item)],
        "stop": stop_reason(state, action)
        if isinstance(action, Decline)
        else state["stop"] or stop_reason(state, action),
        "answer": answer if answer is not None else state["answer"],
        "queue": [],
    }


def _parse_human_action(response: object) -> tuple[Action, str | None]:
    if response is True or response == "accept":
        return Terminate(), None
    if isinstance(response, str):
        reply = parse_reply(f"{response}\n", allow=ALL_KINDS)  # the line break marks it as complete
        if reply.action is None:
            raise InputError(reply.error or "no action")
        return reply.action, reply.answer
    if isinstance(response, Mapping):
        answer = response.get("answer")
        return from_plain({"type": "terminate"} | dict(response)), answer if isinstance(answer, str) else None
    if isinstance(response, Action):
        return response, None
    raise InputError(f"got {type(response).__name__}: expected 'accept', an action as text, or its plain form")


def why_not_applicable(state: State, action: Action | None) -> str | None:
    """Return why an undo or a redo is not applicable, None if it is."""
    target = active_target(state)
    if isinstance(action, Backtrack) and not target["prompts"] and target["initial_mask"] is None:
        return "Backtrack: there is nothing to undo"
    if isinstance(action, Redo) and not undo_history(steps_of_target(state))[1]:
        return "Redo: there is nothing to redo"
    return None


def why_protected(state: State, action: Action | None) -> str | None:
    """Return why a policy may not undo the last prompt, which it may not if a person made it; else None."""
    last = active_prompt_steps(state)[-1:]
    if isinstance(action, Backtrack) and last and last[0]["actor"] == "person":
        return "Backtrack: the last prompt is a person's and stays; click elsewhere, or terminate"
    return None


def stop_reason(state: State, action: Stop, answer: str | None = None) -> StopReason:
    """Return the stop reason that a terminate or decline action means in this state.

    A terminate without a mask asserts that the target is absent, unless its ``answer`` says nothing of the kind.
    """
    if isinstance(action, Decline):
        return "declined"
    target = active_target(state)
    if target["prompts"] or area(target["mask"]):
        return "terminated"
    if state["kind"] == "question":
        return "answered"
    return "declined" if read_assertion(answer) == "unknown" else "target_absent"


def why_inconsistent(state: State, action: Action | None, answer: str | None) -> str | None:
    """Return why a stop that means an absent target is inconsistent with its answer, None if it is not."""
    if (
        isinstance(action, Terminate)
        and stop_reason(state, action, answer) == "target_absent"
        and read_assertion(answer) == "present"
    ):
        return "Terminate: nothing is marked, and the answer says that something is; click on it, or say that it is not"
    return None
