"""The record of a run: one versioned JSON object, read by SFT, GRPO, evals and `ibisagent.agent.replay`."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.graph_components import Components
from ibisagent.agent.reply_parser import parse_completion
from ibisagent.agent.state import Origin, Outcome, ProposalRecord, State, StepRecord, TargetState
from ibisagent.agent.steps import steps_of_request, undone_actions_before
from ibisagent.agent.stop_reasons import StopReason
from ibisagent.agent.view import read_view
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.json_values import to_builtin
from ibisagent.tools.masks.conversion import as_mask
from ibisagent.tools.masks.rle import Rle, encode
from ibisagent.tools.segmenters.base import recorded_name

__all__ = ["VERSION", "Step", "Target", "Trajectory", "build_trajectory"]

VERSION = 2

_ORIGINS, _OUTCOMES, _STOPS = get_args(Origin), get_args(Outcome), get_args(StopReason)
_TYPES = {
    **dict.fromkeys(("made_by", "request", "kind", "policy", "segmenter", "segmenter_name", "active"), str),
    **dict.fromkeys(("image", "geometry", "config"), dict),
    **dict.fromkeys(("request_index", "seed"), int),
}
_KEPT = (  # fields of a step that a record keeps as they are in the state
    *("index", "target", "view", "actor", "origin", "action", "outcome", "error", "score", "seconds"),
    *("reverts", "restores"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step with everything that the state keeps in the run store.

    ``target``: name of the target that it acted on; ``view``: the part of the picture that was shown, [x0, y0, x1, y1]
    in [0, 1] of the whole, None for all of it; ``reply``: raw text; ``undone``: actions that had been undone on the
    mask before the step; ``mask``: of the target after it; ``seconds``: of policy and segmenter; ``completion``: what
    else the policy returned (usage, finish, model, token ids and log-probabilities). The other fields: see
    `ibisagent.agent.state.StepRecord`.
    """

    index: int
    target: str
    view: list[float] | None
    actor: str
    origin: Origin
    action: dict[str, Any] | None
    outcome: Outcome
    error: str | None
    thought: str
    reply: str | None
    repairs: tuple[str, ...]
    undone: tuple[dict[str, Any], ...]
    mask: Rle
    score: float | None
    seconds: dict[str, float]
    reverts: int | None
    restores: int | None
    completion: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a request, from the mask that it began with to the final one.

    ``start``: mask at the beginning; ``has_initial_mask``: that was an initial mask; ``prompts``: active at the end;
    ``measurements``: of ``mask``; ``instances``: the masks of single instances, where ``mask`` is their union;
    ``truth``: the true mask where it is known; ``proposal``: what a proposer offered, which is ``start`` where its
    outcome is "proposed" (`ibisagent.agent.state.ProposalRecord`).
    """

    name: str
    start: Rle
    has_initial_mask: bool
    mask: Rle
    score: float | None
    prompts: tuple[dict[str, Any], ...]
    measurements: dict[str, Any]
    instances: tuple[Rle, ...] | None = None
    truth: Rle | None = None
    proposal: ProposalRecord | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One request on one image, from the masks it began with to the final masks.

    ``image``: reference with content hash, path relative to the record's folder, slice and window; ``geometry``: size
    and spacing of the displayed picture; ``seed``: of the input; ``policy``: its name, with the hash of its ``weights``
    and its ``sampling`` settings where it has them; ``segmenter``: fingerprint, ``segmenter_name``: what it is called;
    ``targets``: an ordinary request has one; ``active``: name of the one that was worked on last; ``fork_step``: the
    first step of its own when the run is a branch of another.
    """

    version: int
    made_by: str
    image: dict[str, Any]
    geometry: dict[str, Any]
    request: str
    kind: str
    request_index: int
    seed: int
    policy: str
    weights: str | None
    sampling: dict[str, Any] | None
    segmenter: str
    segmenter_name: str
    config: dict[str, Any]
    targets: tuple[Target, ...]
    active: str
    steps: tuple[Step, ...]
    stop: str | None
    error: str | None
    answer: str | None
    seconds: float
    tokens: int
    fork_step: int | None = None

    @property
    def target(self) -> Target:
        """The active target."""
        return next(target for target in self.targets if target.name == self.active)

    @property
    def start(self) -> Rle:
        """The mask that the active target began with."""
        return self.target.start

    @property
    def has_initial_mask(self) -> bool:
        """Whether the active target began with an initial mask."""
        return self.target.has_initial_mask

    @property
    def mask(self) -> Rle:
        """The final mask of the active target."""
        return self.target.mask

    @property
    def score(self) -> float | None:
        """The segmenter's score of `mask`."""
        return self.target.score

    @property
    def measurements(self) -> dict[str, Any]:
        """Measurements of `mask`."""
        return self.target.measurements

    @property
    def truth(self) -> Rle | None:
        """The true mask of the active target, None where it is not known."""
        return self.target.truth

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return dict(to_builtin(asdict(self)))

    @classmethod
    def from_json(cls, data: Any) -> "Trajectory":
        """Read a JSON object; `InputError` describes what is wrong with it."""
        if not isinstance(data, dict) or "version" not in data or "steps" not in data:
            raise InputError("not a trajectory: expected a JSON object with 'version' and 'steps'")
        if data["version"] != VERSION:
            raise InputError(f"trajectory version {data['version']!r}: this package reads version {VERSION}")
        try:
            steps = tuple(_read_step(step) for step in data["steps"])
            targets = tuple(_read_target(target) for target in data["targets"])
            record = cls(**data | {"steps": steps, "targets": targets})
            _require_consistent(record)
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"not a trajectory of version {VERSION}: {error}") from error
        return record


def _read_step(data: dict[str, Any]) -> Step:
    return Step(**data | {"repairs": tuple(data["repairs"]), "undone": tuple(data["undone"])})


def _read_target(data: dict[str, Any]) -> Target:
    instances = data.get("instances")
    lists = {"prompts": tuple(data["prompts"]), "instances": None if instances is None else tuple(instances)}
    return Target(**data | lists)


def _require_types(record: Trajectory) -> None:
    for name, kind in _TYPES.items():
        if not isinstance(getattr(record, name), kind):
            raise TypeError(f"{name} is {type(getattr(record, name)).__name__}, expected {kind.__name__}")
    if record.stop is not None and record.stop not in _STOPS:
        raise TypeError(f"stop is {record.stop!r}, expected one of {', '.join(_STOPS)}")
    if not 0 <= record.seed < 2**63:
        raise TypeError("seed is out of range, expected a whole number from 0 to 2**63")
    shape = [record.geometry["height"], record.geometry["width"]]
    masks = [mask for target in record.targets for mask in (target.start, target.mask)]
    for rle in (*masks, *(step.mask for step in record.steps)):
        if list(rle["size"]) != shape or not isinstance(rle["counts"], str):
            raise TypeError(f"a mask is of size {rle['size']}, expected {shape}, the picture's")


def _require_consistent(record: Trajectory) -> None:
    _require_types(record)
    names = [str(target.name) for target in record.targets]
    if len(set(names)) < len(names):
        raise InputError(f"trajectory: got targets {names}, expected each name once; record it anew")
    for what, name in (("active", record.active), *((f"step {step.index}", step.target) for step in record.steps)):
        if name not in names:
            raise InputError(f"trajectory: got {what} on target {name!r}, expected one of {names}; record it anew")
    for step in record.steps:
        read_view(step.view)
        for what, got, known in (("origin", step.origin, _ORIGINS), ("outcome", step.outcome, _OUTCOMES)):
            if got not in known:
                expected = f"expected one of {', '.join(known)}"
                raise InputError(f"trajectory: got step {step.index} with {what} {got!r}, {expected}; record it anew")


def build_trajectory(
    graph: SegmentationGraph,
    ended: Mapping[str, object],
    *,
    truth: NDArray[np.bool_] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Trajectory:
    """Build the record of what ``graph`` ended with, or of the state of a thread that waits.

    ``ended``: the result of `invoke`, or the values of a thread's state. ``folder``: where the record will be written;
    the image's path is made relative to it.
    """
    components, state = graph.components, cast(State, ended)
    image = components.images.open(state["image"])
    run, steps = state["run"], steps_of_request(state)
    undone = undone_actions_before(steps, {target["name"]: target["start"] for target in state["target_states"]})
    height, width = image.pixels.shape[:2]
    policy = components.policy
    return Trajectory(
        version=VERSION,
        made_by=_software_version(),
        image=state["image"] | {"uri": _relative_uri(state["image"]["uri"], folder)},
        geometry={"height": height, "width": width, "spacing_mm": state["image"]["spacing_mm"]},
        request=state["request"],
        kind=state["kind"],
        request_index=run["request_index"],
        seed=run["seed"],
        policy=policy.name,
        weights=getattr(policy, "weights_hash", None),
        sampling=getattr(policy, "sampling", None),
        segmenter=run["segmenter"],
        segmenter_name=recorded_name(components.memo.segmenter),
        config=asdict(components.config) | {"actions": list(components.config.actions)},
        targets=tuple(_build_target(components, state, target, truth) for target in state["target_states"]),
        active=state["run"]["active"],
        steps=tuple(_build_step(components, image, step, actions) for step, actions in zip(steps, undone, strict=True)),
        stop=state["stop"],
        error=state["error"],
        answer=state["answer"],
        seconds=run["seconds"],
        tokens=run["tokens"],
        fork_step=run["fork_step"],
    )


@cache
def _software_version() -> str:
    return f"ibisagent {version('ibisagent')}"


def _build_target(components: Components, state: State, target: TargetState, truth: NDArray[np.bool_] | None) -> Target:
    """Build the record of a target; the active one's final mask is the result, once there is one."""
    active, mask, score = target["name"] == state["run"]["active"], target["mask"], target["score"]
    measurements: dict[str, Any] = {}
    if active and (result := state["mask"]) is not None:
        mask, score, measurements = result, state["score"], state["measurements"]
    return Target(
        name=target["name"],
        start=components.store.get_mask(target["start"]),
        has_initial_mask=target["has_initial_mask"],
        mask=mask,
        score=score,
        prompts=tuple(target["prompts"]),
        measurements=measurements,
        truth=encode(as_mask(truth)) if active and truth is not None else None,
        proposal=target["proposal"],
    )


def _build_step(components: Components, image: MedicalImage, step: StepRecord, undone: list[dict[str, Any]]) -> Step:
    store, mask = components.store, components.store.get_mask(step["mask"])
    completion = dict(store.get(step["reply"])) if step["reply"] else {}
    frame = components.view.frame(image, mask, read_view(step["view"]))
    parsed = parse_completion(completion, frame=frame, allow=components.allowed_kinds) if completion else None
    text = completion.pop("text", None)
    kept = {name: step[name] for name in _KEPT}  # type: ignore[literal-required]
    return Step(
        **kept,
        thought=parsed.thought if parsed else "",
        reply=text,
        repairs=parsed.repairs if parsed else (),
        undone=tuple(undone),
        mask=mask,
        completion=completion,
    )


def _relative_uri(uri: str | None, folder: str | os.PathLike[str] | None) -> str | None:
    if uri is None or folder is None:
        return uri
    try:
        return Path(os.path.relpath(uri, folder)).as_posix()
    except ValueError:  # another drive
        return Path(uri).name
