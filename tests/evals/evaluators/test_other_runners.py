"""Our runs and evaluators under agentevals' and LangSmith's own runners, without a network."""

import uuid
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from agentevals.graph_trajectory.llm import create_graph_trajectory_llm_as_judge
from agentevals.graph_trajectory.strict import graph_trajectory_strict_match
from agentevals.graph_trajectory.utils import extract_langgraph_trajectory_from_thread
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langsmith import Client
from langsmith.evaluation import evaluate
from langsmith.schemas import Example
from support.fakes import STOP, UNDO, positive, script
from support.parents import open_entry_point
from urllib3 import Retry

from ibisagent.agent import build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.integrations import ImageCatalog
from ibisagent.agent.stores import RunStore
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.evaluators import graph_trajectory, judge_run, openevals_evaluator
from ibisagent.tools.masks.rle import encode

pytestmark = pytest.mark.slow

PIXELS = np.zeros((20, 20), np.uint8)
TRUTH = np.zeros((20, 20), bool)
TRUTH[5:15, 5:15] = True
REQUEST = {"image": PIXELS, "request": "Segment the organ."}
REPLIES = (positive(0.4, 0.4), "hm", positive(0.6, 0.6), UNDO, STOP)
THREAD: Any = {"configurable": {"thread_id": "one"}}
NAMES = ("nodes_strict", "actions_strict", "actions_superset", "final_iou", "no_decline")


def run(*replies: str) -> Trajectory:
    return run_episode(build_graph(script(*replies), "disk"), REQUEST)


RECORD, REFERENCE = run(*REPLIES), run(positive(0.4, 0.4), STOP)
KNOWN = {"trajectory": REFERENCE.to_json(), "truth": encode(TRUTH), "target": "organ"}


def expected(name: str) -> float | None:
    return judge_run(RECORD, [name], reference=REFERENCE, truth=TRUTH, target="organ")[name].score


def test_our_evaluators_take_what_agentevals_extracts_from_our_thread() -> None:
    graph = build_graph(script(*REPLIES), "disk", checkpointer=InMemorySaver())
    graph.invoke(REQUEST, THREAD)
    extracted = extract_langgraph_trajectory_from_thread(graph, THREAD)
    assert extracted["outputs"]["steps"] == graph_trajectory(RECORD)["steps"]
    for name in NAMES:
        judge = openevals_evaluator(name, loop=graph)
        for outputs in (extracted, extracted["outputs"]):
            assert judge(outputs=outputs, reference_outputs=KNOWN)["score"] == expected(name)


@pytest.mark.parametrize("kind", ["function node", "shared state", "fan-out"])  # it does not look into a tool's graph
def test_and_from_the_thread_of_a_parent_that_holds_our_graph(kind: str) -> None:
    store = RunStore()
    entry = open_entry_point(
        kind, script(*REPLIES), "disk", root={"scan": PIXELS}, store=store, checkpointer=InMemorySaver()
    )
    entry.graph.invoke(entry.start, THREAD)
    loop = build_graph(script(), "disk", images=ImageCatalog({"scan": PIXELS}), store=store)
    extracted = extract_langgraph_trajectory_from_thread(entry.graph, THREAD)
    for name in NAMES:
        found = openevals_evaluator(name, loop=loop)(outputs=extracted["outputs"], reference_outputs=KNOWN)
        assert found["score"] == expected(name)


def test_agentevals_strict_match_runs_on_our_trajectories_and_says_only_no() -> None:
    own: Any = graph_trajectory(RECORD)
    assert graph_trajectory_strict_match(outputs=own, reference_outputs=own)["score"] is True
    for reference in (REFERENCE, run(*REPLIES[:1], *REPLIES[2:])):
        other: Any = graph_trajectory(reference)
        found = graph_trajectory_strict_match(outputs=own, reference_outputs=other)
        assert found["score"] is False
        assert 0 < (judge_run(RECORD, ["nodes_strict"], reference=reference)["nodes_strict"].score or 0) < 1


class Grader(GenericFakeChatModel):
    """A chat model that passes a thread in which nothing is undone."""

    def with_structured_output(self, schema: Any, **_: Any) -> Any:
        return RunnableLambda(lambda asked: {"score": "backtrack" not in str(asked), "reasoning": "By its nodes."})


def test_agentevals_graph_judge_runs_on_our_trajectories() -> None:
    judge = create_graph_trajectory_llm_as_judge(judge=Grader(messages=iter([])))
    for record, score in ((RECORD, False), (REFERENCE, True)):
        ours: Any = graph_trajectory(record)
        found: Any = judge(inputs=ours["inputs"], outputs=ours)
        assert (found["key"], found["score"]) == ("graph_trajectory_accuracy", score)


@pytest.mark.filterwarnings("ignore:'upload_runs' parameter is in beta")
def test_langsmith_s_evaluate_runs_our_evaluators_without_a_network() -> None:
    example = Example(
        id=uuid.uuid4(),
        dataset_id=uuid.uuid4(),
        created_at=datetime.now(UTC),
        inputs={"request": "Segment the organ."},
        outputs=KNOWN,
    )

    def target(inputs: dict[str, Any]) -> dict[str, Any]:
        graph = build_graph(script(*REPLIES), "disk")
        return {"trajectory": run_episode(graph, {"image": PIXELS, **inputs}).to_json()}

    client = Client(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False, retry_config=Retry(0))
    found = evaluate(
        target,
        data=[example],
        evaluators=[openevals_evaluator(name) for name in NAMES],
        upload_results=False,
        client=client,
    )
    results = {each.key: each.score for row in found for each in row["evaluation_results"]["results"]}
    assert results == {name: pytest.approx(expected(name)) for name in NAMES}
