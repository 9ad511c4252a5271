"""The nodes of the graph that a recorded run went through, read off its steps."""

from collections.abc import Iterator, Sequence

from ibisagent.agent.actions import PROMPT_KINDS
from ibisagent.agent.trajectory import Step, Trajectory

__all__ = ["node_path"]

_WITHOUT_STEP = ("policy_error", "budget", "cancelled")
"""Stops with an error that interrupt a reply: the node ``reason`` ran and left no step."""


def node_path(record: Trajectory) -> tuple[str, ...]:
    """Return the names of the nodes in the order in which they ran, `load` first.

    Equal for a record and for the thread that it was built from. A person's action beside the policy counts as made in
    ``review``, wherever it was made. A run that waits or was killed ends where its last step left it.
    """
    path = ["load"]
    given = [step for step in record.steps if step.origin == "request"]
    if given:
        path.append("segment")  # all of a request's prompts in one super-step
    if not (record.steps and record.steps[-1] in given and record.stop is None):
        path.append("overlay")
    own = record.steps[len(given) :]
    for index, step in enumerate(own):
        path += _nodes_of(step, own[index + 1 :])
    return (*path, *_end(record, path))


def _nodes_of(step: Step, later: Sequence[Step]) -> Iterator[str]:
    if step.origin == "reply":
        yield from ("reason", "parse")
    elif step.origin == "intervention":
        yield "review"
    kind = step.action["type"] if step.action else None
    if step.outcome in ("unparseable", "repeated") or kind in ("terminate", "decline"):
        return
    yield "segment" if kind in PROMPT_KINDS else "backtrack"
    if not (later and later[0].origin == "automatic"):
        yield "overlay"


def _end(record: Trajectory, path: Sequence[str]) -> Iterator[str]:
    if record.stop is None:
        return
    if record.stop in _WITHOUT_STEP and record.error and path[-1] != "parse":
        yield "reason"
    if record.config.get("review") and record.stop != "cancelled" and path[-1] != "review":
        yield "review"
    yield "terminate"
