"""What a page shows of a session, as plain values: one snapshot at each change.

Every text in it is data: whoever puts it into HTML escapes it.
"""

from typing import Any, Literal

from typing_extensions import TypedDict

from ibisagent.tools.masks.rle import Rle

__all__ = [
    "BranchView",
    "CaseListView",
    "CaseView",
    "ExampleView",
    "PictureView",
    "RequestView",
    "SliceChoice",
    "Snapshot",
    "StartView",
    "StepView",
    "StopKind",
]

StopKind = Literal["done", "absent", "declined", "failed", "cancelled", "waiting"]
"""How a request ended; "waiting": it did not, or ended unfinished (steps used up, going round in circles)."""


class SliceChoice(TypedDict):
    """What a slider offers.

    ``counts``: number of slices by plane ("axial", "coronal", "sagittal"), or of "frame"; ``plane``, ``index``: of the
    shown one. The n-th slice of a plane is `set_view(slice=f"{plane}:{n}")`, of frames `set_view(slice=str(n))`; its
    picture while dragging is ``/s/HANDLE/slice/PLANE/N``.
    """

    counts: dict[str, int]
    plane: str
    index: int


class PictureView(TypedDict):
    """The displayed picture: its address on this server, size in pixels, content hash, and what else can be shown.

    ``windows``: names of windows, such as "lung", on CT only; ``free_window``: "centre,width" is possible. ``window``:
    the current one. ``manual_first``: the policy is unlikely to be of use on it; offer clicking by hand first.
    """

    url: str
    width: int
    height: int
    sha: str
    slices: SliceChoice | None
    windows: list[str]
    free_window: bool
    window: str | None
    notes: list[str]
    manual_first: bool


class StepView(TypedDict):
    """A step: who did what, what it led to.

    ``action``: plain form (`ibisagent.agent.actions.to_plain`), None for an unreadable reply; ``label``: in words.
    ``mask``: after it; ``iou``: of that mask with the truth, None without one; ``seconds``: of policy and segmenter.
    """

    index: int
    actor: str
    origin: str
    outcome: str
    action: dict[str, Any] | None
    label: str
    thought: str
    error: str | None
    score: float | None
    area_px: int
    area_mm2: float | None
    seconds: float
    mask: Rle
    iou: float | None
    reverts: int | None
    restores: int | None


class StartView(TypedDict):
    """The mask that a request begins with, before its first step.

    ``by``: the proposer's name, None for a mask that came with the request; ``mask``: None where nothing was proposed,
    for ``reason``. ``score``: the proposer's estimate of the IoU; ``iou``: with the truth, None without one.
    """

    by: str | None
    reason: str | None
    score: float | None
    seconds: float
    mask: Rle | None
    area_px: int
    area_mm2: float | None
    iou: float | None


class RequestView(TypedDict):
    """A request on the shown picture and the active branch; ``first_step``: index that its first step has, or would.

    ``start``: None where it went on from the mask in force, or from none and nobody was to propose one.
    """

    text: str
    kind: str
    first_step: int
    start: StartView | None
    stop: str | None
    stop_kind: StopKind
    answer: str | None


class BranchView(TypedDict):
    """A branch of the tree; ``parent``: index of the one that it was forked from, before its ``first_step``."""

    index: int
    parent: int | None
    first_step: int
    steps: int
    stop: str | None
    active: bool


class ExampleView(TypedDict):
    """An example that `open_example(name)` opens; ``request``: what to ask there."""

    name: str
    title: str
    caption: str
    request: str


class CaseView(TypedDict):
    """A recorded run in a list; ``stop``: stop reason or "unfinished"; ``iou``: None without a truth."""

    case: str
    policy: str
    segmenter: str
    request: str
    stop: str
    steps: int
    iou: float | None


class CaseListView(TypedDict):
    """A list of recorded runs: their number, which one is open, None for none, and a key that changes with the list.

    The list itself is at ``/s/HANDLE/cases``.
    """

    key: str
    count: int
    open: int | None


class Snapshot(TypedDict):
    """A session at one moment.

    ``version`` grows with each change. ``thinking_seconds``: since the last step, 0.0 while nothing runs.
    ``requests``: oldest first; ``suggestion``: what to ask here, "" without one. ``start``: the mask before the first
    step, None where it was empty; ``mask``: in force, None before the first request and while another slice is shown;
    ``read_only``: a record is shown, without any model; ``cases``: the list that it is one of, None for a single one.
    ``keep``: "off" (not offered here), "no" or "yes" (this case is kept). ``message``: one line for people, of the
    newest change or error. ``downloads``: names below ``/s/HANDLE/file/``.
    """

    version: int
    handle: str
    running: bool
    thinking_seconds: float
    picture: PictureView | None
    request: str | None
    kind: str
    requests: list[RequestView]
    suggestion: str
    steps: list[StepView]
    start: Rle | None
    mask: Rle | None
    stop: str | None
    stop_kind: StopKind
    message: str
    error: bool
    answer: str | None
    accepted: bool
    read_only: bool
    cases: CaseListView | None
    keep: Literal["off", "no", "yes"]
    branches: list[BranchView]
    truth: Rle | None
    downloads: list[str]
    examples: list[ExampleView]
