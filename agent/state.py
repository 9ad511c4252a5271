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
    "Input",
    "Output",
    "PendingAction",
    "RunContext",
    "RunInfo",
    "State",
    "StepRecord",
    "UndoneAction",
]


class Input(TypedDict, total=False):
    """What a run starts from.

    ``image``: path, file URI, data URL, PIL picture, array, `MedicalImage`, or a reference {"uri", "slice", "window"}.
    ``initial_mask``: an existing mask to refine: path, (H, W) bool array or COCO RLE. ``prompts``: clicks and boxes to
    apply before the policy's own; ``prompts_actor``: who made them, "experiment" for those of an evaluation or a
    training set, which the policy may undo like its own. ``kind``: "question" for a question that may need no mask.
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

    ``index`` counts from 1 within a thread; ``actor``: policy, person, experiment, guard, or protection (of a person's
    clicks); ``mask``: key of the current mask after it; ``reply``: key of the raw reply; ``context_key``: fingerprint
    of the action, the mask before it and the actions undone there (`ibisagent.agent.limits.action_fingerprint`);
    ``reverts``: index of the step that a backtrack undid, ``restores``: of the one that a redo restored; 0 is the
    initial mask.
    """

    index: int
    actor: str
    action: dict[str, Any] | None
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


class PendingAction(TypedDict):
    """An action that waits for its node; fields as in `StepRecord`, ``seconds``: the policy's time."""

    action: dict[str, Any] | None
    actor: str
    reply: str | None
    context_key: str
    seconds: float


class RunInfo(TypedDict):
    """Bookkeeping of one request on a thread.

    ``request_index`` counts from 1; ``first_step``: position in ``steps`` of its first step; ``image``: content hash;
    ``start``: key of the mask that it began with; ``has_initial_mask``: that was an initial mask; ``request_hash``:
    hash of the input (`ibisagent.agent.inputs.request_hash`); ``seed``: of the input; ``review``: a person confirms the
    end; ``seconds``,
    ``tokens``: spent so far in policy and segmenter; ``last_call_seconds``: of the last reply; ``segmenter``:
    fingerprint; ``fork_step``: first step of this branch, None on the trunk.
    """

    request_index: int
    first_step: int
    image: str
    start: str
    has_initial_mask: bool
    request_hash: str
    seed: int
    review: bool
    seconds: float
    tokens: int
    last_call_seconds: float
    segmenter: str
    fork_step: int | None


def _append_steps(steps: list[StepRecord], new: list[StepRecord] | None) -> list[StepRecord]:
    """Append the steps of a node; None clears the list. So a checkpointer writes each step once, not the whole list."""
    return [*steps, *new] if new is not None else []


class Output(TypedDict, total=False):
    """What a run ends with; ``mask`` is the final mask as COCO RLE, ``error`` describes what failed."""

    image: Any
    request: str
    kind: Literal["segment", "question"]
    mask: Rle
    score: float | None
    answer: str | None
    stop: StopReason | None
    error: str | None
    steps: Annotated[list[StepRecord], _append_steps]
    measurements: dict[str, Any]
    run: RunInfo


class State(Input, Output, total=False):
    """Everything that passes between the super-steps."""

    queue: list[PendingAction]
    undone: list[UndoneAction]
    feedback: str | None
    failures: int
    reply: str | None
    remaining_steps: RemainingSteps


class RunContext(TypedDict):
    """The runtime context: ``cancel`` is a `threading.Event`, or anything with ``is_set``, that ends the run."""

    cancel: NotRequired[Any]
