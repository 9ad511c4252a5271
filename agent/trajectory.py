"""The record of a run: one versioned JSON object, from which SFT, GRPO and evals read and `replay` repeats the run."""

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

from ibisagent.agent.coordinates import Frame
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.parsing import parse_completion
from ibisagent.agent.state import State, StepRecord
from ibisagent.agent.steps import steps_of_turn
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic, reason_of
from ibisagent.tools.masks import Rle, as_mask, encode
from ibisagent.tools.plain import plain

__all__ = ["VERSION", "Step", "Trajectory", "read_trajectories", "trajectory", "write_trajectory"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class Step:
    """A step with everything that the state leaves to the run store.

    ``reply``: raw; ``undone``: what had been undone at the mask that the step met; ``mask``: in force after it;
    ``seconds``: of policy and segmenter; ``reverts``, ``restores``: see `ibisagent.agent.state.StepRecord`;
    ``completion``: what else the policy told (usage, finish, model, token ids and log-probabilities).
    """

    n: int
    by: str
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
    """One request on one image, from the mask it began with to the mask in force at the end.

    ``image``: reference with content hash, path relative to the record's folder, slice and window; ``geometry``: size
    and spacing of the displayed picture; ``truth``: the true mask where it is known; ``forked``: the first step of its
    own when the run is a branch of another.
    """

    version: int
    made_by: str
    image: dict[str, Any]
    geometry: dict[str, Any]
    request: str
    kind: str
    turn: int
    policy: str
    segmenter: str
    config: dict[str, Any]
    start: Rle
    refined: bool
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
    forked: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON object."""
        return dict(plain(asdict(self)))

    @classmethod
    def from_json(cls, data: Any) -> "Trajectory":
        """Read a JSON object; `InputError` names what is wrong with it."""
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


def trajectory(
    graph: SegmentationGraph,
    ended: Mapping[str, object],
    *,
    truth: NDArray[np.bool_] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Trajectory:
    """Record what ``graph`` ended with: the result of `invoke`, or the values of a thread's state.

    ``folder``: where the record will lie; the image's path is written relative to it.
    """
    parts, state = graph.parts, cast(State, ended)
    image = parts.images.open(state["image"])
    run, steps = state["run"], steps_of_turn(state)
    frame, undone = parts.frame(state), undone_before(steps, run["start"])
    height, width = image.pixels.shape[:2]
    return Trajectory(
        version=VERSION,
        made_by=_made_by(),
        image=state["image"] | {"uri": _relative(state["image"]["uri"], folder)},
        geometry={"height": height, "width": width, "spacing_mm": state["image"]["spacing_mm"]},
        request=state["request"],
        kind=state["kind"],
        turn=run["turn"],
        policy=parts.policy.name,
        segmenter=run["segmenter"],
        config=asdict(parts.config) | {"actions": list(parts.config.actions)},
        start=parts.store.get_mask(run["start"]),
        refined=run["refined"],
        steps=tuple(_step(graph, step, frame, met) for step, met in zip(steps, undone, strict=True)),
        stop=state["stop"],
        error=state["error"],
        answer=state["answer"],
        mask=state["mask"],
        score=state["score"],
        measurements=state["measurements"],
        seconds=run["seconds"],
        tokens=run["tokens"],
        truth=encode(as_mask(truth)) if truth is not None else None,
        forked=run["forked"],
    )


@cache
def _made_by() -> str:
    return f"ibisagent {version('ibisagent')}"


def _step(graph: SegmentationGraph, step: StepRecord, frame: Frame, undone: list[dict[str, Any]]) -> Step:
    store = graph.parts.store
    completion = dict(store.get(step["reply"])) if step["reply"] else {}
    parsed = parse_completion(completion, frame=frame) if completion else None
    text = completion.pop("text", None)
    return Step(
        n=step["n"],
        by=step["by"],
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


def undone_before(steps: Sequence[StepRecord], start: str) -> list[list[dict[str, Any]]]:
    """Give, for each step, the actions that had been undone at the mask it met; ``start`` is the first mask's key."""
    said: list[tuple[dict[str, Any], str]] = []
    met: list[list[dict[str, Any]]] = []
    actions = {step["n"]: step["action"] for step in steps}
    here = start
    for step in steps:
        met.append([action for action, at in said if at == here])
        here = step["mask"]
        reverted = actions.get(step["reverts"] or 0)
        if reverted is not None:
            said.append((reverted, here))
        restored = actions.get(step["restores"] or 0)
        if restored is not None:
            del said[max(index for index, (action, _) in enumerate(said) if action == restored)]
    return met


def _relative(uri: str | None, folder: str | os.PathLike[str] | None) -> str | None:
    if uri is None or folder is None:
        return uri
    try:
        return Path(os.path.relpath(uri, folder)).as_posix()
    except ValueError:  # another drive
        return Path(uri).name


def write_trajectory(path: str | os.PathLike[str], record: Trajectory) -> None:
    """Write one record as ``.json``, whole or not at all."""
    with atomic(Path(path)) as temporary:
        temporary.write_text(json.dumps(record.to_json(), indent=1), encoding="utf-8")


def _unread(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"nothing that can be read ({reason_of(error)})"
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
        raise InputError(f"{name}: not a readable trajectory file: got {_unread(error)}, {expected}") from error
    for number, data in enumerate(objects, 1):
        try:
            yield Trajectory.from_json(data)
        except InputError as error:
            raise InputError(f"{name}, record {number}: {error}") from error
