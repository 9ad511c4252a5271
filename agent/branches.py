"""Branches: leave a thread's way at any step, list the ways it went, and give the end of each request on one of them.

A branch is a path through the thread's checkpoints; what two branches share is done and kept once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from ibisagent.agent.actions import Action
from ibisagent.agent.checkpoints import Plan, checkpoint_of, head, thread_of
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.human_action import said
from ibisagent.agent.state import State
from ibisagent.agent.steps import queued
from ibisagent.tools.errors import InputError

__all__ = ["Branch", "abranches", "afork", "aturns", "branches", "fork", "turns"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One way that a thread went, from its beginning to a last checkpoint.

    ``config``: of that checkpoint; `graph.get_state(config).values` is what `trajectory` records. ``parent``: index of
    the branch that it left, None for the first; ``step``: number of its first own step. ``steps``: how many there are
    on this way; ``stop``: None while it is unfinished.
    """

    config: RunnableConfig
    parent: int | None
    step: int
    turn: int
    request: str
    steps: int
    stop: str | None


def fork(
    graph: SegmentationGraph,
    config: RunnableConfig,
    *,
    step: int | None = None,
    action: Action | Mapping[str, Any] | None = None,
    request: str | None = None,
) -> RunnableConfig:
    """Begin a branch and give the config that ``graph.invoke(None, ...)`` goes on from; what is before it stays done.

    ``config``: of a thread, or of one of its checkpoints. ``step``: number of the step that the branch does otherwise;
    None branches right there. ``action``: a person's, in place of that step; None lets the policy of ``graph`` decide,
    which may be another policy than the recorded one. ``request``: other words from there on.
    `InputError`: no checkpoint from before that step is left (``durability="exit"`` keeps the last one only).
    """
    return graph.update_state(*_plan(list(graph.get_state_history(head(config))), config, step, action, request))


async def afork(
    graph: SegmentationGraph,
    config: RunnableConfig,
    *,
    step: int | None = None,
    action: Action | Mapping[str, Any] | None = None,
    request: str | None = None,
) -> RunnableConfig:
    """Do what `fork` does, for async checkpointers."""
    snapshots = [snapshot async for snapshot in graph.aget_state_history(head(config))]
    return await graph.aupdate_state(*_plan(snapshots, config, step, action, request))


def _plan(
    snapshots: list[StateSnapshot],
    config: RunnableConfig,
    step: int | None,
    action: Action | Mapping[str, Any] | None,
    request: str | None,
) -> Plan:
    path = [snapshot for snapshot in _path(snapshots, config) if "run" in snapshot.values]
    if not path:
        raise InputError(f"thread {thread_of(config)!r}: nothing was asked on it yet; there is nothing to branch from")
    at, skipped = (path[-1], []) if step is None else _before(path, step)
    state = cast(State, at.values)
    fresh: dict[str, Any] = dict.fromkeys(("stop", "answer", "error", "feedback", "reply"))
    first = len(state["steps"]) + 1 if step is None else step
    fresh |= {"failures": 0, "request": request or state["request"], "run": state["run"] | {"forked": first}}
    given = [queued(prompt["action"], prompt["by"]) for prompt in skipped]
    if action is None and not given:
        return Plan(at.config, fresh | {"queue": []}, "backtrack")
    update = fresh | (said(cast(State, state | fresh), action) if action is not None else {"queue": []})
    return Plan(at.config, update | {"queue": [*given, *update["queue"]]}, "review")


def _before(path: list[StateSnapshot], step: int) -> tuple[StateSnapshot, list[Any]]:
    """Find the last checkpoint on a path before a step, and the given prompts between the two, which left none."""
    steps = path[-1].values["steps"]
    if not 1 <= step <= len(steps):
        raise InputError(f"step {step}: the thread has steps 1 to {len(steps)}")
    done = next(index for index, snapshot in enumerate(path) if snapshot.values["steps"][:step] == steps[:step])
    turn = path[done].values["run"]["turn"]
    earlier = [snapshot for snapshot in path[:done] if snapshot.values["run"]["turn"] == turn]
    deciding = [
        snapshot for snapshot in earlier if len(snapshot.values["steps"]) == step - 1 and "reason" in snapshot.next
    ]
    at = next(reversed(deciding or earlier), None)
    skipped = steps[len(at.values["steps"]) : step - 1] if at is not None else []
    if at is None or any(given["by"] not in ("person", "planted") or given["reply"] for given in skipped):
        raise InputError(
            f"step {step}: no checkpoint from before it is left; durability='exit' keeps the last one only"
        )
    return at, skipped


def branches(graph: SegmentationGraph, config: RunnableConfig) -> list[Branch]:
    """List the branches of a thread, the first way first; a thread that was never used has none."""
    return _branches(list(graph.get_state_history(head(config))))


async def abranches(graph: SegmentationGraph, config: RunnableConfig) -> list[Branch]:
    """Do what `branches` does, for async checkpointers."""
    return _branches([snapshot async for snapshot in graph.aget_state_history(head(config))])


def _branches(snapshots: list[StateSnapshot]) -> list[Branch]:
    parents = {checkpoint_of(snapshot.parent_config) for snapshot in snapshots}
    leaves = [snapshot for snapshot in snapshots if checkpoint_of(snapshot.config) not in parents]
    paths = [_path(snapshots, leaf.config) for leaf in leaves if "run" in leaf.values]
    owner: dict[str, int] = {}
    found: list[Branch] = []
    for path in sorted(paths, key=lambda path: [checkpoint_of(snapshot.config) for snapshot in path]):
        shared = [snapshot for snapshot in path if checkpoint_of(snapshot.config) in owner]
        parent = owner[checkpoint_of(shared[-1].config)] if shared else None
        found.append(_branch(path, shared, parent))
        owner |= {checkpoint_of(snapshot.config): len(found) - 1 for snapshot in path[len(shared) :]}
    return found


def _branch(path: list[StateSnapshot], shared: list[StateSnapshot], parent: int | None) -> Branch:
    last = path[-1]
    values = last.values
    forked = path[len(shared)].values.get("run", {}).get("forked") if shared else None
    return Branch(
        config=last.config,
        parent=parent,
        step=forked or (len(shared[-1].values.get("steps", ())) + 1 if shared else 1),
        turn=values["run"]["turn"],
        request=values["request"],
        steps=len(values["steps"]),
        stop=None if last.next else values["stop"],
    )


def turns(graph: SegmentationGraph, config: RunnableConfig) -> list[State]:
    """Give the state at the end of each request on the way to ``config``, oldest first; `trajectory` records each."""
    return _turns(_path(list(graph.get_state_history(head(config))), config))


async def aturns(graph: SegmentationGraph, config: RunnableConfig) -> list[State]:
    """Do what `turns` does, for async checkpointers."""
    return _turns(_path([snapshot async for snapshot in graph.aget_state_history(head(config))], config))


def _turns(path: Iterable[StateSnapshot]) -> list[State]:
    last: dict[tuple[str, int], State] = {}
    for snapshot in path:
        if "run" in snapshot.values and not {"__start__", "load"} & set(snapshot.next):
            run = snapshot.values["run"]
            last[run["image"], run["turn"]] = cast(State, snapshot.values)
    return list(last.values())


def _path(snapshots: list[StateSnapshot], config: RunnableConfig) -> list[StateSnapshot]:
    """Walk from the beginning to the checkpoint that ``config`` names, or to the thread's newest."""
    by_id = {checkpoint_of(snapshot.config): snapshot for snapshot in snapshots}
    wanted = checkpoint_of(config) or next(iter(by_id), "")
    if wanted and wanted not in by_id:
        raise InputError(f"checkpoint {wanted!r}: thread {thread_of(config)!r} has none of that name")
    path: list[StateSnapshot] = []
    here = by_id.get(wanted)
    while here is not None:
        path.append(here)
        here = by_id.get(checkpoint_of(here.parent_config))
    return path[::-1]
