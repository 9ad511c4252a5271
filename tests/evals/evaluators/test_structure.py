"""Runs against reference runs: twelve worked pairs in a reader's order; node paths as the graph's own history."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.fakes import NOT_THERE, STOP, UNDO, CountingSegmenter, FunctionPolicy, negative, positive, script

from ibisagent.agent import Guard, LoopConfig, build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.evals.evaluators import MATCHES, diff_runs, judge_run, node_path
from ibisagent.evals.evaluators.sequences import align, compare_sequences, equal_items

PIXELS = np.zeros((20, 20), np.uint8)
A, B, C, D = positive(0.3, 0.3), positive(0.6, 0.6), negative(0.8, 0.2), positive(0.5, 0.75)
REFERENCE = (A, B, C, D, STOP)
WRONG = positive(0.05, 0.95)

PAIRS: list[tuple[str, tuple[str, ...]]] = [
    ("a click moved by a little", (A, positive(0.6, 0.64), C, D, STOP)),
    ("a click moved by more", (A, positive(0.6, 0.68), C, D, STOP)),
    ("two clicks moved", (A, positive(0.6, 0.68), negative(0.8, 0.12), D, STOP)),
    ("one click too many", (A, B, C, D, WRONG, STOP)),
    ("one click missing", (A, B, D, STOP)),
    ("a wrong click that is undone", (A, B, C, WRONG, UNDO, D, STOP)),
    ("two clicks missing", (A, B, STOP)),
    ("two clicks missing and one moved", (A, positive(0.6, 0.7), STOP)),
    ("three clicks missing", (A, STOP)),
    ("three clicks missing and the fourth moved", (positive(0.3, 0.4), STOP)),
    ("stopped at once", (NOT_THERE,)),
    ("no reply that can be read", ("hm", "hm", "hm")),
]
"""Runs against `REFERENCE`, in the order in which a reader finds them more and more unlike it."""


def run(*replies: str, config: LoopConfig | None = None, **given: Any) -> Trajectory:
    graph = build_graph(script(*replies), "disk", config)
    return run_episode(graph, {"image": PIXELS, "request": "Segment.", **given})


def score(record: Trajectory, reference: Trajectory, name: str) -> float:
    found = judge_run(record, [name], reference=reference)[name].score
    assert found is not None
    return found


def test_twelve_pairs_are_ordered_as_a_reader_would() -> None:
    assert len(PAIRS) == 12
    reference = run(*REFERENCE)
    scores = [score(run(*replies), reference, "actions_strict") for _, replies in PAIRS]
    assert all(value < 1 for value in scores)  # a strict match says no to every one
    assert [PAIRS[at][0] for at, (one, two) in enumerate(pairwise(scores)) if one - two < 0.01] == []
    assert (scores[-1], score(run(*REFERENCE), reference, "actions_strict")) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        (REFERENCE, {"strict": 1.0, "unordered": 1.0, "subset": 1.0, "superset": 1.0, "subsequence": 1.0}),
        ((B, A, C, D, STOP), {"strict": 0.6, "unordered": 1.0, "subset": 1.0, "superset": 1.0, "subsequence": 0.8}),
        ((A, B, STOP), {"strict": 0.6, "unordered": 0.6, "subset": 1.0, "superset": 0.6, "subsequence": 0.6}),
        (
            (A, WRONG, B, C, D, STOP),
            {"strict": 5 / 6, "unordered": 5 / 6, "subset": 5 / 6, "superset": 1.0, "subsequence": 1.0},
        ),
    ],
    ids=["equal", "swapped", "stopped early", "one more"],
)
def test_the_five_matches_of_actions(replies: tuple[str, ...], expected: dict[str, float]) -> None:
    record, reference = run(*replies), run(*REFERENCE)
    found = {match: score(record, reference, f"actions_{match}") for match in MATCHES}
    assert found == pytest.approx(expected)


def test_the_tolerance_is_of_the_longer_side_and_signs_never_match() -> None:
    moved, reference = run(positive(0.5, 0.54), STOP), run(positive(0.5, 0.5), STOP)
    assert score(moved, reference, "actions_strict?tolerance=0.05") == 1
    assert 0.9 < score(moved, reference, "actions_strict") < 1
    flat = {"image": np.zeros((20, 80), np.uint8)}
    wide = score(run(positive(0.5, 0.54), STOP, **flat), run(positive(0.5, 0.5), STOP, **flat), "actions_strict")
    assert wide == 1  # .04 of the height is .01 of the width
    assert score(run(negative(0.5, 0.5), STOP), reference, "actions_strict") == 0.5


def test_a_diff_is_readable() -> None:
    record, reference = run(A, positive(0.6, 0.68), WRONG, UNDO, STOP), run(A, B, C, STOP)
    assert diff_runs(record, reference).splitlines() == [
        "  point + (0.300, 0.300)",
        "~ point + (0.600, 0.680), reference point + (0.600, 0.600)",
        "~ point + (0.050, 0.950), reference point - (0.800, 0.200)",
        "+ backtrack",
        "  terminate",
    ]
    assert "+ backtrack" in diff_runs(record, reference, "nodes")
    result = judge_run(record, ["actions_superset"], reference=reference)["actions_superset"]
    assert result.reason.endswith("first difference: ~ point + (0.600, 0.680), reference point + (0.600, 0.600)")


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_a_comparison_is_symmetric_and_full_for_equal_sequences(own: str, other: str) -> None:
    found, back = compare_sequences(own, other, equal_items), compare_sequences(other, own, equal_items)
    assert (found.edits, found.in_order, found.in_any_order) == (back.edits, back.in_order, back.in_any_order)
    assert (found.edits == 0) == (own == other)
    assert found.in_order <= found.in_any_order <= min(len(own), len(other))
    pairs = align(own, other, equal_items)
    assert "".join(pair.own or "" for pair in pairs) == own
    assert "".join(pair.other or "" for pair in pairs) == other
    assert sum(pair.alike < 1 for pair in pairs) == found.edits


def _raise(_: Any) -> str:
    raise RuntimeError("the model is gone")


FLOOD = "<think>All.</think>\n<action>Box (0.0, 0.0, 0.99, 0.99)</action>"
CASES: dict[str, tuple[Any, Any, LoopConfig, dict[str, Any]]] = {
    "plain": (script(A, B, UNDO, STOP), "disk", LoopConfig(), {}),
    "unreadable": (script("hm", A, "hm", STOP), "disk", LoopConfig(), {}),
    "given up": (script("hm", "hm", "hm"), "disk", LoopConfig(), {}),
    "with prompts": (script(B, STOP), "disk", LoopConfig(), {"prompts": [{"type": "point", "x": 0.5, "y": 0.5}] * 2}),
    "repeated": (script(A, A, A), "disk", LoopConfig(), {}),
    "out of steps": (script(A, B, D), "disk", LoopConfig(max_steps=2), {}),
    "guarded": (script(A, FLOOD, STOP), "disk", LoopConfig(guard=Guard()), {}),
    "no model": (FunctionPolicy(_raise), "disk", LoopConfig(), {}),
    "no segmenter": (script(A, B, STOP), CountingSegmenter(fails_at=2), LoopConfig(), {}),
    "refused": (script(NOT_THERE), "disk", LoopConfig(), {}),
    "reviewed": (script(A, STOP, STOP), "disk", LoopConfig(review=True), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_node_path_is_the_graph_s_own_history(name: str) -> None:
    policy, segmenter, config, given = CASES[name]
    graph = build_graph(policy, segmenter, config, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "one"}}
    ended: Any = graph.invoke({"image": PIXELS, "request": "Segment.", **given}, thread)
    for answer in ("Positive Point (0.7, 0.2)", "accept") if config.review else ():
        ended = graph.invoke(Command(resume=answer), thread)
    history = [task.name for state in reversed(list(graph.get_state_history(thread))) for task in state.tasks]
    record = build_trajectory(graph, ended)
    assert ["__start__", *node_path(record)] == history
    assert node_path(Trajectory.from_json(record.to_json())) == node_path(record)
