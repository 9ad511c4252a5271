"""Several targets in one picture: a run for each, in parallel, and their masks in one label map."""

from collections.abc import Mapping
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Checkpointer, Send
from typing_extensions import TypedDict

from ibisagent.agent.actions import as_prompt, to_plain
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.inputs import normalize_mask
from ibisagent.agent.integrations.label_map import LabelMap, merge_labels
from ibisagent.agent.integrations.nested_run import EventWriter, arun_nested, run_nested, to_plain_segmentation
from ibisagent.agent.integrations.summary import summarize
from ibisagent.agent.langgraph_private import RunnableCallable
from ibisagent.agent.normalizing_graph import InputNormalizingGraph
from ibisagent.tools.errors import InputError
from ibisagent.tools.json_values import to_builtin as plain_of

__all__ = ["FanOutInput", "FanOutOutput", "FanOutState", "fan_out", "merge_by_target"]


def merge_by_target(old: dict[str, Any], new: dict[str, Any] | None) -> dict[str, Any]:
    """Merge results by target, sorted by name whichever came first; None clears them (a LangGraph reducer)."""
    return dict(sorted({**old, **new}.items())) if new is not None else {}


class FanOutInput(TypedDict, total=False):
    """What to segment where.

    ``image``: as in `ibisagent.agent.state.Input`. ``targets``: names, each requested as "Segment the NAME.", or a
    mapping of names to requests, or to the plain inputs of runs: ``request``, ``prompts``, ``initial_mask``, ``seed``.
    """

    image: Any
    targets: Any


class FanOutOutput(TypedDict, total=False):
    """``segmentations``: by name the `to_plain_segmentation` of each run, masks whole; ``labels``: all in one map."""

    segmentations: dict[str, Any]
    labels: LabelMap


class FanOutState(FanOutInput, FanOutOutput, total=False):
    """The keys of a parent's state for a fan-out; the results of a new one replace those of the last."""


class _State(FanOutInput, total=False):
    segmentations: Annotated[dict[str, Any], merge_by_target]
    labels: LabelMap


class _Branch(TypedDict):
    image: Any
    name: str
    run_input: dict[str, Any]


def fan_out(graph: SegmentationGraph, *, checkpointer: Checkpointer = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile a graph that runs ``graph`` once for every target, at the same time, and joins their masks.

    Invoke it, or make it a node of a parent with keys of the same names. The result does not depend on which target is
    done first. Interrupts of several targets are raised together and answered by their ids. Build ``graph`` without a
    checkpointer: this one's, or the parent's, keeps every run.
    """

    def normalize(given: Any, *, nested: bool) -> Any:
        del nested  # a parent's state has keys of its own beside these
        if not isinstance(given, dict):
            return given  # None and commands, which resume a run
        image = {"image": graph.components.images.to_reference(given["image"])} if "image" in given else {}
        return given | image | ({"targets": parse(given["targets"])} if "targets" in given else {})

    def parse(targets: Any) -> dict[str, dict[str, Any]]:
        parsed = _parse_targets(targets)
        for run_input in parsed.values():
            graph.components.memo.require_taken(as_prompt(prompt) for prompt in run_input["prompts"])
        return parsed

    def open_image(state: _State) -> dict[str, Any]:
        parse(state.get("targets"))
        return {"image": graph.components.images.to_reference(state.get("image")), "segmentations": None}

    def segment(branch: _Branch, runtime: Runtime[Any]) -> dict[str, Any]:
        return _update(branch, run_nested(graph, _run_input(branch), runtime.context, _writer(branch, runtime)))

    async def asegment(branch: _Branch, runtime: Runtime[Any]) -> dict[str, Any]:
        return _update(branch, await arun_nested(graph, _run_input(branch), runtime.context, _writer(branch, runtime)))

    def _update(branch: _Branch, ended: Any) -> dict[str, Any]:
        return {"segmentations": {branch["name"]: to_plain_segmentation(summarize(graph, ended), ended)}}

    fan = StateGraph(_State, input_schema=FanOutInput, output_schema=FanOutOutput)
    fan.add_node("open", open_image)
    fan.add_node("segment", RunnableCallable(segment, asegment, trace=False))
    fan.add_node("merge", lambda state: {"labels": merge_labels(state["segmentations"])})
    fan.add_edge(START, "open")
    fan.add_conditional_edges("open", _branches, ["segment"])
    fan.add_edge("segment", "merge")
    fan.add_edge("merge", END)
    compiled = fan.compile(checkpointer=checkpointer, name="targets")
    return InputNormalizingGraph(normalize_input=normalize, **vars(compiled))


def _branches(state: _State) -> list[Send]:
    asked = _parse_targets(state["targets"])
    return [
        Send("segment", _Branch(image=state["image"], name=name, run_input=run_input))
        for name, run_input in asked.items()
    ]


def _parse_targets(targets: Any) -> dict[str, dict[str, Any]]:
    """Return the input of each target's run, by name; `InputError` if one is named twice or is invalid."""
    if isinstance(targets, str) or not targets:
        raise InputError("targets: got no list of them, expected names such as ['liver', 'spleen']; name at least one")
    if not isinstance(targets, Mapping):
        if len(set(targets)) != len(targets):
            raise InputError("targets: got a name twice, expected each once; tell them apart, as 'left lesion'")
        targets = {name: f"Segment the {name}." for name in targets}
    return {str(name): _branch_input(name, asked) for name, asked in sorted(targets.items())}


def _branch_input(name: str, asked: Any) -> dict[str, Any]:
    given = {"request": asked} if isinstance(asked, str) else dict(asked)
    if unknown := given.keys() - {"request", "prompts", "initial_mask", "kind", "seed"}:
        raise InputError(f"targets: got {sorted(unknown)[0]!r} for {name!r}, expected request, prompts or initial_mask")
    prompts = [to_plain(as_prompt(prompt)) for prompt in given.get("prompts") or []]
    mask = {"initial_mask": normalize_mask(given["initial_mask"])} if "initial_mask" in given else {}
    return {"request": f"Segment the {name}."} | dict(plain_of(given | {"prompts": prompts} | mask))


def _run_input(branch: _Branch) -> dict[str, Any]:
    return {"image": branch["image"], **branch["run_input"]}


def _writer(branch: _Branch, runtime: Runtime[Any]) -> EventWriter:
    return lambda event: runtime.stream_writer(event | {"target": branch["name"]})
