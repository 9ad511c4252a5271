"""A session's state as a page shows it: steps with their masks, how it ended, branches, what can be shown of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ibisagent.agent.actions import format_action, from_plain
from ibisagent.agent.branches import Branch, abranches, arequests
from ibisagent.agent.checkpoints import checkpoint_id
from ibisagent.agent.state import State, active_target, current_mask
from ibisagent.agent.stop_reasons import StopReason
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.masks.rle import Rle, area
from ibisagent.ui.sessions import running
from ibisagent.ui.sessions.export import list_files
from ibisagent.ui.sessions.session_store import Session
from ibisagent.ui.sessions.session_values import SessionStep, describe_step
from ibisagent.ui.sessions.snapshots import BranchView, RequestView, StartView, StepView, StopKind
from ibisagent.ui.sessions.start_view import compare, compute_area_mm2, view_start

__all__ = ["SessionView", "list_downloads", "read_view", "switch_branch", "view_of_record", "view_step"]

_KINDS: dict[StopReason, StopKind] = {
    "terminated": "done",
    "answered": "done",
    "settled": "done",
    "target_absent": "absent",
    "declined": "declined",
    "policy_error": "failed",
    "segmenter_error": "failed",
    "store_error": "failed",
    "parse_failures": "failed",
    "cancelled": "cancelled",
}
_MESSAGES: dict[str, str] = {
    "terminated": "The model is content with this mask. Check it, correct it with a click, or accept it.",
    "answered": "The question was answered without a mask.",
    "settled": "The mask hardly changes any more. Check it, correct it with a click, or accept it.",
    "target_absent": "The model finds no such target in this picture. If you see it, click on it.",
    "declined": "The model does not judge this target: it asserts nothing. Click on the target to mark it yourself.",
    "max_steps": "The model used up its steps. Correct the mask with a click, or let it go on.",
    "loop": "The model began to repeat itself. Correct the mask with a click.",
    "stalled": "The mask no longer changed. Correct it with a click.",
    "budget": "The model's time is used up. Correct the mask with a click, or let it go on.",
    "policy_error": "The model failed; the mask is what there was before. Try again, or click by hand.",
    "segmenter_error": "The segmenter failed; the mask is what there was before. Try again.",
    "store_error": "The run could not be stored: tell the operator.",
    "parse_failures": "The model's replies could not be read. Click by hand, or try again.",
    "cancelled": "Stopped. The mask is the one in force; click to correct it, or let the model go on.",
    "": "It is your turn: click, undo, accept, or let the model go on.",
}
_ACCEPTED = "Accepted. The mask can be downloaded."
_QUESTION_ANSWERED = "Answered. The mask is what the model marked on its way to the answer: check both."


@dataclass(frozen=True, slots=True)
class SessionView:
    """What a state shows; ``sha``, ``slice``: of the picture that was asked about, ``request`` None before that.

    ``unfinished``: something was in progress when the state was stored.
    """

    sha: str = ""
    slice: str | None = None
    spacing: Spacing | None = None
    request: str | None = None
    kind: str = "segment"
    steps: list[StepView] = field(default_factory=list)
    start: Rle | None = None
    mask: Rle | None = None
    stop: str | None = None
    stop_kind: StopKind = "waiting"
    message: str = ""
    answer: str | None = None
    accepted: bool = False
    requests: list[RequestView] = field(default_factory=list)
    branches: list[BranchView] = field(default_factory=list)

    def with_step(self, step: StepView) -> "SessionView":
        """Return the view with one more step, as the state will show it."""
        kept = [each for each in self.steps if each["index"] < step["index"]]
        return replace(self, steps=[*kept, step], mask=step["mask"], stop=None, stop_kind="waiting", answer=None)

    def with_start(self, start: StartView | None) -> "SessionView":
        """Return the view with what the last request begins with."""
        *earlier, last = self.requests
        last = last | {"start": start}
        mask = start["mask"] if start else None
        first = self.start if self.steps else mask or self.start
        return replace(self, requests=[*earlier, last], start=first, mask=mask or self.mask)


def _describe_stop(stop: str | None, accepted: bool, request_kind: str) -> tuple[StopKind, str]:
    """Return the kind of a stop, and the line for people."""
    if accepted:
        return "done", _ACCEPTED
    if request_kind == "question" and stop == "terminated":
        return "done", _QUESTION_ANSWERED
    return _KINDS.get(stop, "waiting"), _MESSAGES.get(stop or "", "")  # type: ignore[call-overload]


def view_step(step: SessionStep, mask: Rle, spacing: Spacing | None, truth: Rle | None) -> StepView:
    """Return a step as a page shows it."""
    return StepView(
        index=step.index,
        actor=step.actor,
        origin=step.origin,
        outcome=step.outcome,
        action=step.action,
        label="Accept" if _accepts(step.actor, step.action) else step.text,
        thought=step.thought,
        error=step.error,
        score=step.score,
        area_px=step.area,
        area_mm2=compute_area_mm2(step.area, spacing),
        seconds=sum(step.seconds.values()),
        mask=mask,
        iou=compare(mask, truth),
        reverts=step.reverts,
        restores=step.restores,
    )


async def read_view(session: Session, truth_of: Callable[[str | None], Rle | None]) -> SessionView:
    """Read what a session's state shows, and its branches; ``truth_of``: the true mask of a slice, if it is known."""
    state = await running.current_state(session)
    if "run" not in state:
        return SessionView()
    truth = truth_of(state["image"]["slice"])
    branches = await abranches(session.graph, session.thread)
    asked = await arequests(session.graph, session.place)
    requests = [_view_request(session, each, truth) for each in asked if each["run"]["image"] == state["run"]["image"]]
    first = requests[0]["start"] if requests else None
    return replace(
        _view_state(session, state, truth),
        requests=requests,
        start=first["mask"] if first else None,
        branches=_view_branches(branches, checkpoint_id(session.head)),
    )


def _view_request(session: Session, state: State, truth: Rle | None) -> RequestView:
    steps, target = state["steps"], active_target(state)
    begins = target["has_initial_mask"] and (target["proposal"] is not None or state["run"]["request_index"] == 1)
    initial = session.graph.components.store.get_mask(target["start"]) if begins else None
    accepted = bool(steps) and _is_acceptance(steps[-1])
    return RequestView(
        text=state["request"],
        kind=state["kind"],
        first_step=state["run"]["first_step"] + 1,
        start=view_start(target["proposal"], initial, _read_spacing(state), truth),
        stop=state["stop"],
        stop_kind=_describe_stop(state["stop"], accepted, state["kind"])[0],
        answer=state["answer"],
    )


def _read_spacing(state: State) -> Spacing | None:
    spacing = state["image"]["spacing_mm"]
    return Spacing(*spacing) if spacing else None


def _view_state(session: Session, state: State, truth: Rle | None) -> SessionView:
    store, reference, spacing = session.graph.components.store, state["image"], _read_spacing(state)
    steps = [
        view_step(describe_step(session.graph, record), store.get_mask(record["mask"]), spacing, truth)
        for record in state["steps"]
    ]
    accepted = bool(steps) and _is_acceptance(steps[-1])
    kind, message = _describe_stop(state["stop"], accepted, state["kind"])
    return SessionView(
        sha=reference["sha"],
        slice=reference["slice"],
        spacing=spacing,
        request=state["request"],
        kind=state["kind"],
        steps=steps,
        mask=current_mask(state),
        stop=state["stop"],
        stop_kind=kind,
        message=message,
        answer=state["answer"],
        accepted=accepted,
    )


def _is_acceptance(step: Mapping[str, Any]) -> bool:
    return _accepts(step["actor"], step["action"])


def _accepts(actor: str, action: Mapping[str, Any] | None) -> bool:
    return actor == "person" and action is not None and action["type"] == "terminate"


def _view_branches(branches: list[Branch], head: str) -> list[BranchView]:
    ids = [checkpoint_id(branch.config) for branch in branches]
    active = head if head in ids else max(ids, default="")
    return [
        BranchView(
            index=index,
            parent=branch.parent,
            first_step=branch.first_step,
            steps=branch.steps,
            stop=branch.stop,
            active=ids[index] == active,
        )
        for index, branch in enumerate(branches)
    ]


async def switch_branch(session: Session, index: int) -> None:
    """Have a session continue from the end of another branch; `InputError` where it has no such branch."""
    branches = await abranches(session.graph, session.thread)
    if not 0 <= index < len(branches):
        raise InputError(f"session: got branch {index}, expected one of 0 to {len(branches) - 1}; choose another")
    session.head = branches[index].config


def view_of_record(record: Trajectory) -> SessionView:
    """Return what a recorded run shows; no model is needed."""
    spacing = record.geometry.get("spacing_mm")
    known = Spacing(*spacing) if spacing else None
    steps = [_view_recorded_step(record, number, known) for number in range(len(record.steps))]
    accepted = bool(steps) and _is_acceptance(steps[-1])
    kind, message = _describe_stop(record.stop, accepted, record.kind)
    initial = record.start if record.target.has_initial_mask else None
    return SessionView(
        sha=record.image["sha"],
        slice=record.image.get("slice"),
        spacing=known,
        request=record.request,
        kind=record.kind,
        steps=steps,
        start=record.start if area(record.start) else None,
        mask=record.mask,
        requests=[
            RequestView(
                text=record.request,
                kind=record.kind,
                first_step=steps[0]["index"] if steps else 1,
                start=view_start(record.target.proposal, initial, known, record.truth),
                stop=record.stop,
                stop_kind=kind,
                answer=record.answer,
            )
        ],
        stop=record.stop,
        stop_kind=kind,
        message=f"A recorded run, for reading alone. {message.partition('. ')[0].rstrip('.')}." if message else "",
        answer=record.answer,
        accepted=accepted,
    )


def _view_recorded_step(record: Trajectory, number: int, spacing: Spacing | None) -> StepView:
    step: Any = record.steps[number]
    shown = SessionStep(
        index=step.index,
        target=step.target,
        actor=step.actor,
        origin=step.origin,
        outcome=step.outcome,
        action=step.action,
        text=format_action(from_plain(step.action)) if step.action else "an unreadable reply",
        thought=step.thought,
        error=step.error,
        mask="",
        area=area(step.mask),
        score=step.score,
        seconds=step.seconds,
        reverts=step.reverts,
        restores=step.restores,
    )
    return view_step(shown, step.mask, spacing, record.truth)


async def list_downloads(session: Session) -> list[str]:
    """List the files that can be rendered of a session in which something was asked."""
    state = await running.current_state(session)
    return await asyncio.to_thread(list_files, session.graph.components.images.open(state["image"]))
