"""Branches: fork a thread at any step, list its branches, and return the final state of each request on one of them.

A branch is a path through the thread's checkpoints; what two branches share is run and stored once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from ibisagent.agent.actions import Action
from ibisagent.agent.checkpoints import CheckpointUpdate, checkpoint_id, thread_config, thread_id
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.human_action import apply_human_action
from ibisagent.agent.state import NO_RESULT, State
from ibisagent.agent.steps import pending_action
from ibisagent.tools.errors import InputError

__all__ = ["Branch", "abranches", "afork", "arequests", "branches", "fork", "requests"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One path of a thread, from its beginning to a last checkpoint.

    ``config``: of that checkpoint; `graph.get_state(config).values` is what `build_trajectory` records. ``parent``:
    position of the branch that it was forked from, None for the first; ``first_step``: index of its first own step.
    ``steps``: number of steps on the path; ``stop``: None while it is unfinished.
    """

    config: RunnableConfig
    parent: int | None
    first_step: int
    request_index: int
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
    """Start a branch and return the config that ``graph.invoke(None, ...)`` continues from; earlier steps are kept.

    ``config``: of a thread, or of one of its checkpoints. ``step``: index of the step that the branch replaces; None
    forks at the checkpoint itself. ``action``: a person's, in place of that step; None lets the policy of ``graph``
    decide, which may be another policy than the recorded one. ``request``: a new request text from there on.
    `InputError`: no checkpoint from before that step is left (``durability="exit"`` keeps the last one only).
    """
    return graph.update_state(
        *_plan_fork(graph, list(graph.get_state_history(thread_config(config))), config, step, action, request)
    )


async def afork(
    graph: SegmentationGraph,
    config: RunnableConfig,
    *,
    step: int | None = None,
    action: Action | Mapping[str, Any] | None = None,
    request: str | None = None,
) -> RunnableConfig:
    """Do what `fork` does, for async checkpointers."""
    snapshots = [snapshot async for snapshot in graph.aget_state_history(thread_config(config))]
    return await graph.aupdate_state(*_plan_fork(graph, snapshots, config, step, action, request))


def _plan_fork(
    graph: SegmentationGraph,
    snapshots: list[StateSnapshot],
    config: RunnableConfig,
    step: int | None,
    action: Action | Mapping[str, Any] | None,
    request: str | None,
) -> CheckpointUpdate:
    path = [snapshot for snapshot in _checkpoint_path(snapshots, config) if "run" in snapshot.values]
    if not path:
        raise InputError(f"thread {thread_id(config)!r}: it has no request yet; there is nothing to branch from")
    snapshot, skipped = (path[-1], []) if step is None else _checkpoint_before(path, step)
    state = cast(State, snapshot.values)
    cleared: dict[str, Any] = NO_RESULT | {"feedback": None, "reply": None}
    first = len(state["steps"]) + 1 if step is None else step
    cleared |= {"failures": 0, "request": request or state["request"], "run": state["run"] | {"fork_step": first}}
    given = [pending_action(prompt["action"], prompt["actor"], "request") for prompt in skipped]
    if action is None and not given:
        return CheckpointUpdate(snapshot.config, cleared | {"queue": []}, "backtrack")
    update = cleared | (
        apply_human_action(cast(State, state | cleared), action, graph.components.memo.refusal)
        if action is not None
        else {"queue": []}
    )
    return CheckpointUpdate(snapshot.config, update | {"queue": [*given, *update["queue"]]}, "review")


def _checkpoint_before(path: list[StateSnapshot], step: int) -> tuple[StateSnapshot, list[Any]]:
    """Find the last checkpoint on a path before a step, and the request's prompts between the two, which have none."""
    steps = path[-1].values["steps"]
    if not 1 <= step <= len(steps):
        raise InputError(f"step {step}: the thread has steps 1 to {len(steps)}")
    done = next(index for index, snapshot in enumerate(path) if snapshot.values["steps"][:step] == steps[:step])
    request_index = path[done].values["run"]["request_index"]
    earlier = [snapshot for snapshot in path[:done] if snapshot.values["run"]["request_index"] == request_index]
    deciding = [
        snapshot for snapshot in earlier if len(snapshot.values["steps"]) == step - 1 and "reason" in snapshot.next
    ]
    snapshot = next(reversed(deciding or earlier), None)
    skipped = steps[len(snapshot.values["steps"]) : step - 1] if snapshot is not None else []
    if snapshot is None or any(
        prompt["actor"] not in ("person", "experiment") or prompt["reply"] for prompt in skipped
    ):
        raise InputError(
            f"step {step}: no checkpoint from before it is left; durability='exit' keeps the last one only"
        )
    return snapshot, skipped


def branches(graph: SegmentationGraph, config: RunnableConfig) -> list[Branch]:
    """List the branches of a thread, oldest first; an unused thread has none."""
    return _build_branches(list(graph.get_state_history(thread_config(config))))


async def abranches(graph: SegmentationGraph, config: RunnableConfig) -> list[Branch]:
    """Do what `branches` does, for async checkpointers."""
    return _build_branches([snapshot async for snapshot in graph.aget_state_history(thread_config(config))])


def _build_branches(snapshots: list[StateSnapshot]) -> list[Branch]:
    parents = {checkpoint_id(snapshot.parent_config) for snapshot in snapshots}
    leaves = [snapshot for snapshot in snapshots if checkpoint_id(snapshot.config) not in parents]
    paths = [_checkpoint_path(snapshots, leaf.config) for leaf in leaves if "run" in leaf.values]
    owner: dict[str, int] = {}
    found: list[Branch] = []
    for path in sorted(paths, key=lambda path: [checkpoint_id(snapshot.config) for snapshot in path]):
        shared = [snapshot for snapshot in path if checkpoint_id(snapshot.config) in owner]
        parent = owner[checkpoint_id(shared[-1].config)] if shared else None
        found.append(_build_branch(path, shared, parent))
        owner |= {checkpoint_id(snapshot.config): len(found) - 1 for snapshot in path[len(shared) :]}
    return found


def _build_branch(path: list[StateSnapshot], shared: list[StateSnapshot], parent: int | None) -> Branch:
    last = path[-1]
    values = last.values
    fork_step = path[len(shared)].values.get("run", {}).get("fork_step") if shared else None
    return Branch(
        config=last.config,
        parent=parent,
        first_step=fork_step or (len(shared[-1].values.get("steps", ())) + 1 if shared else 1),
        request_index=values["run"]["request_index"],
        request=values["request"],
        steps=len(values["steps"]),
        stop=None if last.next else values["stop"],
    )


def requests(graph: SegmentationGraph, config: RunnableConfig) -> list[State]:
    """Return the final state of each request on the path to ``config``, oldest first; see `build_trajectory`."""
    return _last_states(_checkpoint_path(list(graph.get_state_history(thread_config(config))), config))


async def arequests(graph: SegmentationGraph, config: RunnableConfig) -> list[State]:
    """Do what `requests` does, for async checkpointers."""
    return _last_states(
        _checkpoint_path([snapshot async for snapshot in graph.aget_state_history(thread_config(config))], config)
    )


def _last_states(path: Iterable[StateSnapshot]) -> list[State]:
    last: dict[tuple[str, int], State] = {}
    for snapshot in path:
        if "run" in snapshot.values and not {"__start__", "load"} & set(snapshot.next):
            run = snapshot.values["run"]
            last[run["image"], run["request_index"]] = cast(State, snapshot.values)
    return list(last.values())


def _checkpoint_path(snapshots: list[StateSnapshot], config: RunnableConfig) -> list[StateSnapshot]:
    """Return the snapshots from the beginning to the checkpoint that ``config`` names, or to the thread's newest."""
    by_id = {checkpoint_id(snapshot.config): snapshot for snapshot in snapshots}
    wanted = checkpoint_id(config) or next(iter(by_id), "")
    if wanted and wanted not in by_id:
        raise InputError(f"checkpoint {wanted!r}: thread {thread_id(config)!r} has none of that name")
    path: list[StateSnapshot] = []
    here = by_id.get(wanted)
    while here is not None:
        path.append(here)
        here = by_id.get(checkpoint_id(here.parent_config))
    return path[::-1]
