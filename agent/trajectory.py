"""The record of a run: one versioned JSON object, read by SFT, GRPO, evals and `ibisagent.agent.replay`."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.reply_parser import parse_completion
from ibisagent.agent.state import State, StepRecord
from ibisagent.agent.steps import steps_of_request
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, describe_os_error
from ibisagent.tools.json_values import to_builtin
from ibisagent.tools.masks.conversion import as_mask
from ibisagent.tools.masks.rle import Rle, encode

__all__ = ["VERSION", "Step", "Trajectory", "build_trajectory", "read_trajectories", "write_trajectory"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class Step:
    """A step with everything that the state keeps in the run store.

    ``reply``: raw text; ``undone``: actions that had been undone on the mask before the step; ``mask``: current after
    it; ``seconds``: of policy and segmenter; ``index``, ``actor``, ``reverts``, ``restores``: see
    `ibisagent.agent.state.StepRecord`; ``completion``: what else the policy returned (usage, finish, model, token ids
    and log-probabilities).
    """

    index: int
    actor: str
    action: dict[str, Any] | None
    error: str | None
    thought: str
    reply: str | None
    repairs: tuple[str, ...]
    undone: tuple[dict[str, Any], ...]
    mask: Rle
    score: float | None
    seconds: dict[str, float]
    reverts: int | None
    completion: dict[str, Any]
    restores: int | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One request on one image, from the mask it began with to the final mask.

    ``image``: reference with content hash, path relative to the record's folder, slice and window; ``geometry``: size
    and spacing of the displayed picture; ``start``: mask at the beginning; ``truth``: the true mask where it is known;
    ``fork_step``: the first step of its own when the run is a branch of another.
    """

    version: int
    made_by: str
    image: dict[str, Any]
    geometry: dict[str, Any]
    request: str
    kind: str
    request_index: int
    policy: str
    segmenter: str
    config: dict[str, Any]
    start: Rle
    has_initial_mask: bool
    steps: tuple[Step, ...]
    stop: str | None
    error: str | None
    answer: str | None
    mask: Rle
    score: float | None
    measurements: dict[str, Any]
    seconds: float
    tokens: int
    truth: Rle | None = None
    fork_step: int | None = None

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
            return cls(**data | {"steps": steps})
        except (KeyError, TypeError) as error:
            raise InputError(f"not a trajectory of version {VERSION}: {error}") from error


def _read_step(data: dict[str, Any]) -> Step:
    return Step(**data | {"repairs": tuple(data["repairs"]), "undone": tuple(data["undone"])})


def build_trajectory(
    graph: SegmentationGraph,
    ended: Mapping[str, object],
    *,
    truth: NDArray[np.bool_] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Trajectory:
    """Build the record of what ``graph`` ended with: the result of `invoke`, or the values of a thread's state.

    ``folder``: where the record will be written; the image's path is made relative to it.
    """
    components, state = graph.components, cast(State, ended)
    image = components.images.open(state["image"])
    run, steps = state["run"], steps_of_request(state)
    frame, undone = components.frame(state), undone_actions_before(steps, run["start"])
    height, width = image.pixels.shape[:2]
    return Trajectory(
        version=VERSION,
        made_by=_software_version(),
        image=state["image"] | {"uri": _relative_uri(state["image"]["uri"], folder)},
        geometry={"height": height, "width": width, "spacing_mm": state["image"]["spacing_mm"]},
        request=state["request"],
        kind=state["kind"],
        request_index=run["request_index"],
        policy=components.policy.name,
        segmenter=run["segmenter"],
        config=asdict(components.config) | {"actions": list(components.config.actions)},
        start=components.store.get_mask(run["start"]),
        has_initial_mask=run["has_initial_mask"],
        steps=tuple(_build_step(graph, step, frame, actions) for step, actions in zip(steps, undone, strict=True)),
        stop=state["stop"],
        error=state["error"],
        answer=state["answer"],
        mask=state["mask"],
        score=state["score"],
        measurements=state["measurements"],
        seconds=run["seconds"],
        tokens=run["tokens"],
        truth=encode(as_mask(truth)) if truth is not None else None,
        fork_step=run["fork_step"],
    )


@cache
def _software_version() -> str:
    return f"ibisagent {version('ibisagent')}"


def _build_step(
    graph: SegmentationGraph, step: StepRecord, frame: CoordinateFrame, undone: list[dict[str, Any]]
) -> Step:
    store = graph.components.store
    completion = dict(store.get(step["reply"])) if step["reply"] else {}
    parsed = parse_completion(completion, frame=frame) if completion else None
    text = completion.pop("text", None)
    return Step(
        index=step["index"],
        actor=step["actor"],
        action=step["action"],
        error=step["error"],
        thought=parsed.thought if parsed else "",
        reply=text,
        repairs=parsed.repairs if parsed else (),
        undone=tuple(undone),
        mask=store.get_mask(step["mask"]),
        score=step["score"],
        seconds=step["seconds"],
        reverts=step["reverts"],
        completion=completion,
        restores=step["restores"],
    )


def undone_actions_before(steps: Sequence[StepRecord], start: str) -> list[list[dict[str, Any]]]:
    """Return for each step the actions that had been undone on the mask before it; ``start``: key of the first mask."""
    undone: list[tuple[dict[str, Any], str]] = []  # actions, with the key of the mask after their undoing
    before: list[list[dict[str, Any]]] = []
    actions = {step["index"]: step["action"] for step in steps}
    mask = start
    for step in steps:
        before.append([action for action, key in undone if key == mask])
        mask = step["mask"]
        reverted = actions.get(step["reverts"] or 0)
        if reverted is not None:
            undone.append((reverted, mask))
        restored = actions.get(step["restores"] or 0)
        if restored is not None:
            del undone[max(index for index, (action, _) in enumerate(undone) if action == restored)]
    return before


def _relative_uri(uri: str | None, folder: str | os.PathLike[str] | None) -> str | None:
    if uri is None or folder is None:
        return uri
    try:
        return Path(os.path.relpath(uri, folder)).as_posix()
    except ValueError:  # another drive
        return Path(uri).name


def write_trajectory(path: str | os.PathLike[str], record: Trajectory) -> None:
    """Write one record as ``.json``, whole or not at all."""
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(json.dumps(record.to_json(), indent=1), encoding="utf-8")


def _describe_read_error(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"nothing that can be read ({describe_os_error(error)})"
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON ({error})"
    return "JSON nested too deep" if isinstance(error, RecursionError) else "data that is no text"


def read_trajectories(path: str | os.PathLike[str]) -> Iterator[Trajectory]:
    """Read the records of a ``.json`` (one object) or ``.jsonl`` (one a line) file."""
    name = Path(path).name
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip()] if Path(path).suffix == ".jsonl" else [text]
        objects = [json.loads(line) for line in lines]
    except (OSError, ValueError, RecursionError) as error:
        expected = "expected the .json or .jsonl of a trajectory; name one"
        got = _describe_read_error(error)
        raise InputError(f"{name}: not a readable trajectory file: got {got}, {expected}") from error
    for number, data in enumerate(objects, 1):
        try:
            yield Trajectory.from_json(data)
        except InputError as error:
            raise InputError(f"{name}, record {number}: {error}") from error
