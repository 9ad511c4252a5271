"""Several targets in one picture, each a run of its own, side by side; their masks in one label map."""

from collections.abc import Mapping
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Checkpointer, Send
from langgraph.utils.runnable import RunnableCallable  # type: ignore[attr-defined]
from typing_extensions import TypedDict

from ibisagent.agent.actions import to_plain
from ibisagent.agent.components import as_prompt
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.input_graph import Doored
from ibisagent.agent.inputs import admit_mask
from ibisagent.agent.integrations.label_map import LabelMap, merge_labels
from ibisagent.agent.integrations.nested_run import Write, arun, plain, run
from ibisagent.agent.integrations.summary import told_by
from ibisagent.tools.errors import InputError
from ibisagent.tools.plain_values import plain as plain_of

__all__ = ["Targets", "TargetsIn", "TargetsOut", "by_target", "fan_out"]


def by_target(old: dict[str, Any], new: dict[str, Any] | None) -> dict[str, Any]:
    """Join what is known of targets, in the order of their names whoever was first; None begins anew."""
    return dict(sorted({**old, **new}.items())) if new is not None else {}


class TargetsIn(TypedDict, total=False):
    """What to segment where.

    ``image``: as in `ibisagent.agent.state.Input`. ``targets``: names, each asked for as "Segment the NAME.", or a
    mapping of names to requests, or to the plain inputs of runs: ``request``, ``prompts``, ``initial_mask``.
    """

    image: Any
    targets: Any


class TargetsOut(TypedDict, total=False):
    """``segmentations``: by name what `running.plain` gives of each run, masks whole; ``labels``: all in one map."""

    segmentations: dict[str, Any]
    labels: LabelMap


class Targets(TargetsIn, TargetsOut, total=False):
    """What a parent's state has for a fan-out; a new one takes the place of the last one's results."""


class _State(TargetsIn, total=False):
    segmentations: Annotated[dict[str, Any], by_target]
    labels: LabelMap


class _Branch(TypedDict):
    image: Any
    name: str
    ask: dict[str, Any]


def fan_out(graph: SegmentationGraph, *, checkpointer: Checkpointer = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile a graph that runs ``graph`` once for every target, at the same time, and joins their masks.

    Invoke it, or make it a node of a parent with keys of the same names. The result does not depend on which target is
    done first. Interrupts of several targets come up together and are answered by their ids. Build ``graph`` without a
    checkpointer: this one's, or the parent's, keeps every run.
    """

    def door(given: Any, *, nested: bool) -> Any:
        del nested  # a parent's state has keys of its own beside these
        if not isinstance(given, dict):
            return given  # None and commands, which resume a run
        image = {"image": graph.parts.images.admit(given["image"])} if "image" in given else {}
        return given | image | ({"targets": _asked(given["targets"])} if "targets" in given else {})

    def open_image(state: _State) -> dict[str, Any]:
        _asked(state.get("targets"))
        return {"image": graph.parts.images.admit(state.get("image")), "segmentations": None}

    def segment(branch: _Branch, runtime: Runtime[Any]) -> dict[str, Any]:
        return _kept(branch, run(graph, _start(branch), runtime.context, _writer(branch, runtime)))

    async def asegment(branch: _Branch, runtime: Runtime[Any]) -> dict[str, Any]:
        return _kept(branch, await arun(graph, _start(branch), runtime.context, _writer(branch, runtime)))

    def _kept(branch: _Branch, ended: Any) -> dict[str, Any]:
        return {"segmentations": {branch["name"]: plain(told_by(graph, ended), ended)}}

    fan = StateGraph(_State, input_schema=TargetsIn, output_schema=TargetsOut)
    fan.add_node("open", open_image)
    fan.add_node("segment", RunnableCallable(segment, asegment, trace=False))
    fan.add_node("merge", lambda state: {"labels": merge_labels(state["segmentations"])})
    fan.add_edge(START, "open")
    fan.add_conditional_edges("open", _branches, ["segment"])
    fan.add_edge("segment", "merge")
    fan.add_edge("merge", END)
    return Doored.of(fan.compile(checkpointer=checkpointer, name="targets"), door=door)


def _branches(state: _State) -> list[Send]:
    asked = _asked(state["targets"])
    return [Send("segment", _Branch(image=state["image"], name=name, ask=ask)) for name, ask in asked.items()]


def _asked(targets: Any) -> dict[str, dict[str, Any]]:
    """Give the input of each target's run, by name; `InputError` when one is named twice or cannot be read."""
    if isinstance(targets, str) or not targets:
        raise InputError("targets: got no list of them, expected names such as ['liver', 'spleen']; name at least one")
    if not isinstance(targets, Mapping):
        if len(set(targets)) != len(targets):
            raise InputError("targets: got a name twice, expected each once; tell them apart, as 'left lesion'")
        targets = {name: f"Segment the {name}." for name in targets}
    return {str(name): _input(name, asked) for name, asked in sorted(targets.items())}


def _input(name: str, asked: Any) -> dict[str, Any]:
    given = {"request": asked} if isinstance(asked, str) else dict(asked)
    if unknown := given.keys() - {"request", "prompts", "initial_mask", "kind"}:
        raise InputError(f"targets: got {sorted(unknown)[0]!r} for {name!r}, expected request, prompts or initial_mask")
    prompts = [to_plain(as_prompt(prompt)) for prompt in given.get("prompts") or []]
    mask = {"initial_mask": admit_mask(given["initial_mask"])} if "initial_mask" in given else {}
    return {"request": f"Segment the {name}."} | dict(plain_of(given | {"prompts": prompts} | mask))


def _start(branch: _Branch) -> dict[str, Any]:
    return {"image": branch["image"], **branch["ask"]}


def _writer(branch: _Branch, runtime: Runtime[Any]) -> Write:
    return lambda event: runtime.stream_writer(event | {"target": branch["name"]})
