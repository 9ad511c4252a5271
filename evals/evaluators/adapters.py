"""Our evaluators under the signature of agentevals, openevals and LangSmith, and our runs as agentevals' trajectories.

The signature: ``evaluator(inputs=..., outputs=..., reference_outputs=...)`` returns a mapping with ``key``, ``score``
and ``comment``. ``outputs`` and ``reference_outputs`` are a `Trajectory`, its JSON object, a mapping with either under
"trajectory", or what agentevals extracts from a thread (``inputs``, ``results``, ``steps``), of our graph or of a
parent. None of the three packages is imported.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.evals.evaluators.judged_run import JudgedRun, with_truth
from ibisagent.evals.evaluators.node_path import node_path
from ibisagent.evals.evaluators.table import Evaluator, open_evaluator
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import as_rle, decode

__all__ = ["graph_trajectory", "openevals_evaluator"]

_EXPECTED = "expected a trajectory, its JSON, or agentevals' extraction of a thread"


def graph_trajectory(record: Trajectory) -> dict[str, Any]:
    """Return a run as agentevals' ``GraphTrajectory``: equal in its steps to what that extracts from the thread.

    ``inputs``: the request; ``results``: answer, stop and measurements; ``steps``: the nodes. For
    ``graph_trajectory_strict_match`` and ``create_graph_trajectory_llm_as_judge``.
    """
    result = {"answer": record.answer, "stop": record.stop, "measurements": record.measurements}
    asked = {"__start__": {"request": record.request, "kind": record.kind}}
    return {"inputs": [asked], "results": [result], "steps": [["__start__", *node_path(record)]]}


def openevals_evaluator(
    evaluator: Evaluator | str, *, loop: SegmentationGraph | None = None, target: str | None = None
) -> Callable[..., dict[str, Any]]:
    """Return an evaluator for agentevals, openevals and LangSmith's `evaluate`.

    ``loop``: the graph whose stores hold the masks of an extracted thread. ``reference_outputs`` may have the true mask
    under "truth" (COCO RLE) and the target's name under "target", with a reference run or without. A score that does
    not apply is None. Where an extraction holds several runs, the last one is judged.
    """
    opened = evaluator if isinstance(evaluator, Evaluator) else open_evaluator(evaluator)

    def judge(*, outputs: Any, reference_outputs: Any = None, inputs: Any = None, **_: Any) -> dict[str, Any]:  # noqa: ARG001
        known = reference_outputs if isinstance(reference_outputs, Mapping) else {}
        record = _read(outputs, loop)
        if (truth := known.get("truth")) is not None and isinstance(truth, Mapping):
            record = with_truth(record, decode(as_rle(truth)))
        reference = _read(reference_outputs, loop) if _has_run(reference_outputs) else None
        found = opened.judge(JudgedRun(record, reference, target or known.get("target")))
        return {"key": opened.name, "score": found.score, "comment": found.reason, "metadata": None}

    judge.__name__ = opened.name
    return judge


def _has_run(value: Any) -> bool:
    return isinstance(value, Trajectory) or (
        isinstance(value, Mapping) and bool(value.keys() & {"trajectory", "version", "results", "outputs"})
    )


def _read(value: Any, loop: SegmentationGraph | None) -> Trajectory:
    if isinstance(value, Trajectory):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"outputs: got {type(value).__name__}, {_EXPECTED}; give one")
    for name in ("trajectory", "outputs"):  # ours in an output's mapping; agentevals' extraction with its inputs
        if name in value and "version" not in value and "results" not in value:
            return _read(value[name], loop)
    return _from_extraction(value["results"], loop) if "results" in value else Trajectory.from_json(dict(value))


def _from_extraction(results: Any, loop: SegmentationGraph | None) -> Trajectory:
    if loop is None:
        raise InputError("outputs: got a thread's extraction, expected the loop that ran it as well; give loop=")
    states = [each for each in results if isinstance(each, Mapping) and {"run", "target_states"} <= each.keys()]
    if not states:
        raise InputError(f"outputs: got an extraction without a run of the loop, {_EXPECTED}; extract its own thread")
    return build_trajectory(loop, states[-1])
