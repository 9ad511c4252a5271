"""The conversation as Gradio's chat shows it: each request, its steps below it, and how it ended.

Gradio renders content and titles as HTML even where it renders no Markdown: every text is escaped here.
"""

from html import escape
from typing import Any

from ibisagent.ui.sessions.snapshots import RequestView, Snapshot, StartView, StepView

__all__ = ["describe_conversation"]

_ACTORS = {"policy": "", "person": "You: ", "guard": "Guard: ", "protection": "Your click is kept: "}
_ENDINGS = {
    "done": "Done: {area}.",
    "absent": "Not in the picture: there is nothing to segment, and the mask is empty.",
    "declined": "I cannot tell whether it is there, so I assert nothing. Mark it yourself, or ask in other words.",
    "failed": "Something failed, and the mask in force is kept. Try again, or go on by hand.",
    "cancelled": "Stopped. The mask in force is kept.",
    "waiting": "Your turn: correct the mask with a click, or let me go on.",
}

Message = dict[str, Any]


def describe_conversation(snapshot: Snapshot) -> list[Message]:
    """Return the messages of a snapshot, oldest first, every text in them escaped."""
    messages: list[Message] = []
    requests = snapshot["requests"]
    for number, request in enumerate(requests):
        last = number + 1 == len(requests)
        end = None if last else requests[number + 1]["first_step"]
        steps = [step for step in snapshot["steps"] if step["index"] >= request["first_step"]]
        steps = [step for step in steps if end is None or step["index"] < end]
        thinking = snapshot["thinking_seconds"] if last and snapshot["running"] else None
        messages += _describe_request(number, request, steps, thinking, recorded=snapshot["read_only"])
    return messages


def _describe_request(
    number: int, request: RequestView, steps: list[StepView], thinking_seconds: float | None, *, recorded: bool
) -> list[Message]:
    messages: list[Message] = [{"role": "user", "content": escape(request["text"])}]
    start = request["start"]
    if start or steps or thinking_seconds is not None:
        messages.append(_describe_run(number, steps, thinking_seconds))
    if start:
        messages.append(_describe_start(number, start))
    messages += [_describe_step(number, step) for step in steps]
    if thinking_seconds is None:
        messages.append({"role": "assistant", "content": escape(_describe_ending(request, steps, recorded))})
    return messages


def _describe_run(number: int, steps: list[StepView], thinking_seconds: float | None) -> Message:
    """Return the entry below which the steps are nested; ``thinking_seconds``: None once the run has ended."""
    metadata: dict[str, Any] = {"id": f"run-{number}"}
    if thinking_seconds is None:
        seconds = sum(step["seconds"] for step in steps)
        metadata |= {"title": f"{len(steps)} step{'' if len(steps) == 1 else 's'}, {seconds:.1f} s"}
    else:
        metadata |= {"title": f"Step {len(steps) + 1}, {thinking_seconds:.0f} s …", "status": "pending"}
    return {"role": "assistant", "content": "", "metadata": metadata}


def _describe_start(number: int, start: StartView) -> Message:
    """Return the entry before the first step: the mask that the request begins with, or why none was proposed."""
    if start["by"] is None:
        title, content = "0. Initial mask", "The request begins with this mask."
    elif start["mask"] is None:
        title, content = f"0. Nothing proposed by {start['by']}", f"Nothing proposed: {start['reason']}."
    else:
        title, content = f"0. Proposed by {start['by']}", "A first mask, before any click. Undo drops it."
    metadata: dict[str, Any] = {"title": escape(title), "id": f"step-{number}-0", "parent_id": f"run-{number}"}
    metadata |= {"log": ", ".join(_figures(start) if start["by"] else [_area(start)])}
    return {"role": "assistant", "content": escape(content), "metadata": metadata}


def _describe_step(number: int, step: StepView) -> Message:
    who = _ACTORS.get(step["actor"], f"{step['actor']}: ")
    metadata = {
        "title": escape(f"{step['index']}. {who}{step['label']}"),
        "id": f"step-{number}-{step['index']}",
        "parent_id": f"run-{number}",
        "log": ", ".join(_figures(step)),
    }
    return {"role": "assistant", "content": escape(step["error"] or step["thought"]), "metadata": metadata}


def _describe_ending(request: RequestView, steps: list[StepView], recorded: bool) -> str:
    if request["answer"]:
        return request["answer"]
    if recorded:
        return f"Recorded end: {(request['stop'] or 'unfinished').replace('_', ' ')}."
    return _ENDINGS[request["stop_kind"]].format(area=_area(steps[-1]) if steps else "the mask is as it was")


def _figures(step: StartView | StepView) -> list[str]:
    score = [] if step["score"] is None else [f"score {step['score']:.2f}"]
    return [*score, *([_area(step)] if step["mask"] else []), f"{step['seconds']:.1f} s"]


def _area(step: StartView | StepView) -> str:
    physical = "" if step["area_mm2"] is None else f", {step['area_mm2']:,.0f} mm²"
    return f"{step['area_px']:,} px{physical}"
