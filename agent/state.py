"""The state of a run: small and JSON-plain, so that any checkpointer can store it and any process can read it.

It never holds a pixel array, picture, tensor, numpy scalar or base64 text: an image is a reference (content hash, URI,
slice, window), a mask is COCO RLE, and raw replies and each step's mask are kept in the run store under their keys.
"""

from typing import Annotated, Any, Literal, NotRequired

from langgraph.managed import RemainingSteps
from typing_extensions import TypedDict

from ibisagent.agent.stop_reasons import StopReason
from ibisagent.tools.masks.rle import Rle

__all__ = [
    "DEFAULT_TARGET",
    "NO_RESULT",
    "Input",
    "Origin",
    "Outcome",
    "Output",
    "PendingAction",
    "ProposalRecord",
    "RunContext",
    "RunInfo",
    "State",
    "StepRecord",
    "TargetState",
    "UndoneAction",
    "active_target",
    "current_mask",
    "current_score",
    "proposed_by",
    "update_target",
]

DEFAULT_TARGET = "target"
"""Name of the only target of an ordinary request."""

Origin = Literal[
    "request",  # a prompt that came with the request
    "reply",  # a reply of the policy, whoever acts as one
    "intervention",  # a person's action beside the policy: at a review, from outside, or on a branch
    "automatic",  # an undo by a guard, or to protect a person's prompts
]

Outcome = Literal[
    "applied",  # the action took effect
    "unparseable",  # no applicable action could be read from the reply
    "repeated",  # the action is one that was tried on the same mask before: it ends the run
    "failed",  # the segmenter or the run store failed: nothing changed
]


class Input(TypedDict, total=False):
    """What a run starts from.

    ``image``: path, file URI, data URL, PIL picture, array, `MedicalImage`, or a reference {"uri", "slice", "window"}.
    ``initial_mask``: an existing mask to refine: path, (H, W) bool array or COCO RLE. ``prompts``: clicks, boxes and
    examples to apply before the policy's own; ``prompts_actor``: who made them, "experiment" for those of an evaluation
    or a training set, which the policy may undo like its own. ``kind``: "question" for one that may need no mask.
    ``seed``: from 0 up, of what a sampling policy draws: runs of one request that are to differ have different ones.
    """

    image: Any
    request: str
    kind: Literal["segment", "question"]
    initial_mask: Any
    prompts: list[Any]
    prompts_actor: Literal["person", "experiment"]
    seed: int


class StepRecord(TypedDict):
    """One step: an action and its result. Appended, never edited.

    ``index`` counts from 1 within a thread; ``target``: name of the one that it acted on; ``view``: as in `RunInfo`,
    when the action was chosen; ``actor``: policy, person, experiment, guard, or protection (of a person's clicks);
    ``error``: describes an `Outcome` other than applied; ``mask``: key of the target's mask after it; ``reply``: key of
    the raw reply; ``context_key``: fingerprint of the action, the mask before it and the actions undone there
    (`ibisagent.agent.limits.action_fingerprint`); ``reverts``: index of the step that a backtrack undid, ``restores``:
    of the one that a redo restored; 0 is the initial mask.
    """

    index: int
    target: str
    view: list[float] | None
    actor: str
    origin: Origin
    action: dict[str, Any] | None
    outcome: Outcome
    error: str | None
    mask: str
    score: float | None
    reply: str | None
    context_key: str
    seconds: dict[str, float]
    reverts: int | None
    restores: int | None


class UndoneAction(TypedDict):
    """An undone action and the key of the ``mask`` on which the policy has to choose differently."""

    action: dict[str, Any]
    mask: str


class ProposalRecord(TypedDict):
    """What a proposer offered as a target's initial mask.

    ``by``: its name; ``outcome``: "proposed", "nothing" (it offers none), "failed", or "preceded", where the caller's
    own mask or prompts took precedence and it was not asked; ``reason``: one line on any but the first; ``score``: its
    estimate of the mask's IoU in [0, 1], None if unknown; ``seconds``: that it took.
    """

    by: str
    outcome: Literal["proposed", "nothing", "failed", "preceded"]
    reason: str | None
    score: float | None
    seconds: float


class TargetState(TypedDict):
    """One target of a request; an ordinary request has one, `DEFAULT_TARGET`.

    ``start``: key of the mask that it began with; ``has_initial_mask``: that was an initial mask. ``mask``: the current
    one; ``score``: the segmenter's; ``initial_mask``: None where there is none, or where it was dropped; ``prompts``:
    active ones, oldest first; ``proposal``: None without a proposer, and on a request that refines the last mask.
    """

    name: str
    start: str
    has_initial_mask: bool
    mask: Rle
    score: float | None
    initial_mask: Rle | None
    prompts: list[dict[str, Any]]
    undone: list[UndoneAction]
    proposal: ProposalRecord | None


class PendingAction(TypedDict):
    """An action that waits for its node; fields as in `StepRecord`, ``seconds``: the policy's time."""

    action: dict[str, Any] | None
    actor: str
    origin: Origin
    reply: str | None
    context_key: str
    seconds: float


class RunInfo(TypedDict):
    """Bookkeeping of one request on a thread.

    ``request_index`` counts from 1; ``first_step``: position in ``steps`` of its first step; ``image``: content hash;
    ``request_hash``: hash of the input (`ibisagent.agent.inputs.request_hash`); ``seed``: of the input; ``review``: a
    person confirms the end; ``seconds``, ``tokens``: spent so far in policy and segmenter; ``last_call_seconds``: of
    the last reply; ``segmenter``: fingerprint; ``fork_step``: first step of this branch, None on the trunk.
    ``active``: name of the target that is worked on. ``view``: the rectangle of the picture that the policy is shown,
    [x0, y0, x1, y1] in [0, 1] of the whole, None for all of it; prompts are in coordinates of the whole picture,
    whatever the view.
    """

    request_index: int
    first_step: int
    image: str
    request_hash: str
    seed: int
    review: bool
    seconds: float
    tokens: int
    last_call_seconds: float
    segmenter: str
    fork_step: int | None
    active: str
    view: list[float] | None


def _append_steps(steps: list[StepRecord], new: list[StepRecord] | None) -> list[StepRecord]:
    """Append the steps of a node; None clears the list. So a checkpointer writes each step once, not the whole list."""
    return [*steps, *new] if new is not None else []


class Output(TypedDict, total=False):
    """What a run ends with; ``mask`` is the final mask as COCO RLE, ``error`` describes what failed.

    Until the end, ``mask``, ``score`` and ``measurements`` are as in `NO_RESULT`; the current mask of a run that waits
    is in its `active_target`. ``target_states``: in the order of the request.
    """

    image: Any
    request: str
    kind: Literal["segment", "question"]
    mask: Rle | None
    score: float | None
    answer: str | None
    stop: StopReason | None
    error: str | None
    steps: Annotated[list[StepRecord], _append_steps]
    measurements: dict[str, Any]
    target_states: list[TargetState]
    run: RunInfo


NO_RESULT: dict[str, Any] = {
    "mask": None,
    "score": None,
    "answer": None,
    "stop": None,
    "error": None,
    "measurements": {},
}
"""The update of a run that goes on: it has no result yet, or no longer."""


class State(Input, Output, total=False):
    """Everything that passes between the super-steps."""

    queue: list[PendingAction]
    feedback: str | None
    failures: int
    reply: str | None
    remaining_steps: RemainingSteps


def proposed_by(target: TargetState) -> str | None:
    """Return the name of the proposer that made the initial mask in force, None where there is none of a proposer."""
    proposal = target["proposal"]
    proposed = proposal is not None and proposal["outcome"] == "proposed" and target["initial_mask"] is not None
    return proposal["by"] if proposed and proposal is not None else None


def active_target(state: State) -> TargetState:
    """Return the target that is worked on."""
    return next(target for target in state["target_states"] if target["name"] == state["run"]["active"])


def current_mask(state: State) -> Rle:
    """Return the mask that the run ended with, or before its end that of the active target."""
    return state.get("mask") or active_target(state)["mask"]


def current_score(state: State) -> float | None:
    """Return the segmenter's score of `current_mask`."""
    return state["score"] if state.get("mask") else active_target(state)["score"]


def update_target(state: State, **changes: Any) -> dict[str, Any]:
    """Return the state update that changes fields of the active target."""
    active = state["run"]["active"]
    return {
        "target_states": [
            TargetState(**(target | changes)) if target["name"] == active else target  # type: ignore[typeddict-item]
            for target in state["target_states"]
        ]
    }


class RunContext(TypedDict):
    """The runtime context: ``cancel`` is a `threading.Event`, or anything with ``is_set``, that ends the run."""

    cancel: NotRequired[Any]
