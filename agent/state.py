"""The state of a run: small and plain, so that any checkpointer can keep it and any process can read it.

No pixel array, picture, tensor, numpy scalar or base64 is ever in it: an image is a reference (content hash, URI,
slice, window), a mask is COCO RLE, raw replies and each step's mask lie in the run store under their keys.
"""

from typing import Annotated, Any, Literal, NotRequired

from langgraph.managed import RemainingSteps
from typing_extensions import TypedDict

from ibisagent.tools.masks.rle import Rle

__all__ = [
    "FAILURES",
    "Input",
    "Output",
    "Queued",
    "RunContext",
    "RunInfo",
    "State",
    "StepRecord",
    "StopReason",
    "Undone",
]

StopReason = Literal[
    "terminated",  # the policy stopped by itself
    "target_absent",  # it stopped with no prompt in force and an empty mask: the target is not there
    "declined",  # the policy cannot tell whether it is there: nothing is asserted
    "answered",  # a plain question was answered without segmenting
    "max_steps",  # as many actions as the configuration allows
    "loop",  # an action repeated on the same mask with the same undone actions
    "stalled",  # the mask no longer changes
    "settled",  # it hardly does, and the segmenter's score is good (`LoopConfig.self_check`)
    "parse_failures",  # unparseable replies in a row
    "budget",  # seconds, tokens, or super-steps left in the enclosing graph
    "policy_error",  # the model failed
    "segmenter_error",  # the segmenter failed; the mask is that of the step before
    "store_error",  # the run store failed: a full disk, a folder that vanished; the mask is that of the step before
    "cancelled",  # the caller cancelled
]

FAILURES: tuple[StopReason, ...] = ("policy_error", "segmenter_error", "store_error")
"""Stops by which something outside the loop failed: the same request may go otherwise another time."""


class Input(TypedDict, total=False):
    """What a run starts from.

    ``image``: path, file URI, data URL, PIL picture, array, `MedicalImage`, or a reference {"uri", "slice", "window"}.
    ``initial_mask``: somebody's mask to refine: path, (H, W) bool array or COCO RLE. ``prompts``: a person's clicks and
    boxes, made before the policy's own; ``prompts_by``: whose they are, "planted" for those of an experiment, which the
    policy may undo as its own. ``kind``: "question" for a plain question that may need no mask.
    """

    image: Any
    request: str
    kind: Literal["segment", "question"]
    initial_mask: Any
    prompts: list[Any]
    prompts_by: Literal["person", "planted"]


class StepRecord(TypedDict):
    """One step: an action and what came of it. Appended, never edited.

    ``n`` counts from 1 within a thread; ``by``: policy, person, planted, guard, or protection (of a person's clicks);
    ``mask``: key of the mask in force after it; ``reply``: key of the raw reply; ``at``: what the action met
    (`ibisagent.agent.limits.place`); ``reverts``: number of the step that a backtrack undid, ``restores``: of the one
    that a redo brought back; 0 is the initial mask.
    """

    n: int
    by: str
    action: dict[str, Any] | None
    error: str | None
    mask: str
    score: float | None
    reply: str | None
    at: str
    seconds: dict[str, float]
    reverts: int | None
    restores: int | None


class Undone(TypedDict):
    """An undone action and the mask, by its key, at which the policy has to choose differently."""

    action: dict[str, Any]
    at: str


class Queued(TypedDict):
    """An action that waits for its node."""

    action: dict[str, Any] | None
    by: str
    reply: str | None
    at: str
    seconds: float


class RunInfo(TypedDict):
    """The account of a turn: a request on a thread.

    ``turn`` counts from 1; ``first``: index of its first step; ``image``: content hash; ``start``: key of the mask that
    it began with; ``refined``: that was an initial mask; ``asked``: hash of what was asked (`ibisagent.agent.inputs`);
    ``review``: a person confirms the end; ``seconds``, ``tokens``: spent so far in policy and segmenter; ``call``:
    seconds of the last reply; ``segmenter``: fingerprint; ``forked``: first step of this branch, None on the trunk.
    """

    turn: int
    first: int
    image: str
    start: str
    refined: bool
    asked: str
    review: bool
    seconds: float
    tokens: int
    call: float
    segmenter: str
    forked: int | None


def _joined(steps: list[StepRecord], new: list[StepRecord] | None) -> list[StepRecord]:
    """Append what a node adds; None begins anew. A checkpointer so writes each step once, not the list every time."""
    return [*steps, *new] if new is not None else []


class Output(TypedDict, total=False):
    """What a run ends with; ``mask`` is the mask in force at the end as COCO RLE, ``error`` says what failed."""

    image: Any
    request: str
    kind: Literal["segment", "question"]
    mask: Rle
    score: float | None
    answer: str | None
    stop: StopReason | None
    error: str | None
    steps: Annotated[list[StepRecord], _joined]
    measurements: dict[str, Any]
    run: RunInfo


class State(Input, Output, total=False):
    """Everything between the super-steps."""

    queue: list[Queued]
    undone: list[Undone]
    feedback: str | None
    failures: int
    reply: str | None
    remaining_steps: RemainingSteps


class RunContext(TypedDict):
    """The runtime context: ``cancel`` is a `threading.Event`, or anything with ``is_set``, that ends the run."""

    cancel: NotRequired[Any]
