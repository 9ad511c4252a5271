"""Each evaluator finds a fault that the mean IoU of the same runs does not: of nine cases, with and without it.

The pictures are 64 x 64, a present target a square of 20 x 20; the disk segmenter's box is a rectangle, so that every
IoU is known. "Finds": the interval of the paired difference excludes 0 (`ibisagent.evals.stats.compare`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from support.fakes import NOT_THERE, STOP, UNDO, FunctionPolicy, positive, script

from ibisagent.agent import Completion, LoopConfig, build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.evaluators import EVALUATORS, LLMJudge, judge_run, load_rubric, plain_evaluators
from ibisagent.evals.evaluators.table import Evaluator
from ibisagent.evals.stats import Bootstrap, compare
from ibisagent.tools.segmenters.disk import DiskSegmenter

SIDE, SQUARE, CASES = 64, 20, 9
PIXELS = np.zeros((SIDE, SIDE), np.uint8)
PLACES = [tuple(int(value) for value in pair) for pair in np.random.default_rng(7).integers(14, 30, (CASES, 2))]
DECLINE = "<think>Too faint.</think>\n<action>Decline</action>\n<answer>I cannot tell.</answer>"
OUTSIDE = positive(0.03, 0.97)
Place = tuple[int, int]


def box(place: Place, dx: int = 0, share: float = 1.0, thought: str = "All of it.") -> str:
    """A box of the target shifted by ``dx`` pixels, of a ``share`` of its rows: that is its IoU where dx is 0."""
    row, column = place
    corners = (column + dx, row, column + dx + SQUARE, row + SQUARE * share)
    numbers = ", ".join(f"{value / SIDE:.6f}" for value in corners)
    return f"<think>{thought}</think>\n<action>Box ({numbers})</action>"


def centre(place: Place) -> str:
    return positive((place[1] + 10) / SIDE, (place[0] + 10) / SIDE)


def said(answer: str, thought: str = "It fits.") -> str:
    return f"<think>{thought}</think>\n<action>Terminate</action>\n<answer>{answer}</answer>"


Replies = Callable[[int, Place], Sequence[str]]


@dataclass(frozen=True, eq=False)
class Fault:
    """What the policy replies without and with the fault, and what else differs; ``absent``: cases without a target."""

    clean: Replies
    faulty: Replies
    segmenter: Any = "disk"
    absent: int = 0
    start: Callable[[Place], dict[str, Any]] = lambda place: {}
    seconds: float | None = None
    tokens: int = 0
    mirrored: bool = False
    max_steps: int = 20


def run(fault: Fault, number: int, *, with_fault: bool) -> Trajectory:
    place, truth = PLACES[number], np.zeros((SIDE, SIDE), bool)
    if with_fault and fault.mirrored:
        place = (place[0], SIDE - SQUARE - place[1])
    if number >= fault.absent:
        truth[place[0] : place[0] + SQUARE, place[1] : place[1] + SQUARE] = True
    replies = list((fault.faulty if with_fault else fault.clean)(number, place))
    policy: Any = script(*replies)
    if with_fault and (fault.seconds or fault.tokens):
        usage = {"total_tokens": fault.tokens}
        policy = FunctionPolicy(lambda seen: Completion(replies[seen.step], usage=usage, seconds=fault.seconds))
    segmenter = fault.segmenter if with_fault else "disk"
    graph = build_graph(policy, segmenter, LoopConfig(max_steps=fault.max_steps))
    given = {"image": PIXELS, "request": "Segment the liver.", **fault.start(place)}
    return run_episode(graph, given, truth=truth)


def plain(_: int, place: Place) -> list[str]:
    return [box(place), STOP]


def uneven(number: int, place: Place) -> list[str]:
    """IoU 1 and .2 in turn, .6 on average."""
    return [box(place, share=1.0 if number % 2 else 0.2), STOP]


def sixty(_: int, place: Place) -> list[str]:
    return [box(place, share=0.6), STOP]


def reading(asked: list[Any]) -> AIMessage:
    """A stand-in for a chat model that follows the rubric's first point by the words alone."""
    lines = str(asked[-1].content).split("<steps>")[1].split("</steps>")[0].strip().splitlines()
    about = sum("liver" in line for line in lines)
    reason = f"{about} of {len(lines)} thoughts are on the liver."
    return AIMessage(json.dumps({"score": about / len(lines), "reason": reason}))


JUDGE = Evaluator("judge:reading", LLMJudge(RunnableLambda(reading), load_rubric()), ("model",))

SHIFTED = Fault(lambda _, place: [box(place, -5), STOP], lambda _, place: [box(place, 5), STOP])
FLIPPED = Fault(plain, plain, mirrored=True)
SWAPPED = Fault(plain, plain, segmenter=DiskSegmenter(radius=0.2))
DETOUR = Fault(plain, lambda _, place: [box(place), OUTSIDE, UNDO, STOP])
SHORTCUT = Fault(lambda _, place: [centre(place), box(place), STOP], plain)
SLOW, VERBOSE = replace(FLIPPED, mirrored=False, seconds=3.0), replace(FLIPPED, mirrored=False, tokens=900)
UNEVEN = Fault(sixty, uneven)
LEFT = Fault(
    lambda number, place: [UNDO, *sixty(number, place)],
    uneven,
    start=lambda place: {
        "prompts": [{"type": "point", "x": 0.97, "y": 0.03, "positive": True}],
        "prompts_actor": "experiment",
    },
)
OVERSHOOT = Fault(
    lambda _, place: [box(place, share=0.8), STOP], lambda _, place: [box(place), box(place, 5), STOP]
)  # .8 both; with the fault after a 1
ASSERTS = Fault(
    lambda number, place: [NOT_THERE] if number < 3 else [box(place, share=0.5), STOP], plain, absent=3
)  # a mean of 6 / 9 both
REFUSES = Fault(
    lambda number, place: [NOT_THERE] if number < 3 else plain(number, place), lambda *_: [NOT_THERE], absent=6
)  # without the fault half of the absent ones are marked, and all present ones: 6 / 9 both
DECLINES = Fault(lambda *_: [NOT_THERE], lambda *_: [DECLINE], absent=CASES)
OTHER_ORGAN = Fault(
    lambda _, place: [box(place, thought="The liver lies there."), said("The liver.", "The liver is covered.")],
    lambda _, place: [box(place, thought="The spleen lies there."), said("The spleen.", "The spleen is covered.")],
)
ENDLESS = Fault(plain, lambda _, place: [box(place), OUTSIDE, UNDO], max_steps=3)

ACTIONS = [f"actions_{match}" for match in ("strict", "unordered", "subset", "superset", "subsequence")]
FOUND: list[tuple[str | Evaluator, Fault]] = [
    *((name, fault) for name in [*ACTIONS, "same_mask"] for fault in (SHIFTED, FLIPPED)),
    ("same_segmenter", SWAPPED),
    *((f"nodes_{match}", DETOUR) for match in ("strict", "unordered", "subset")),
    *((f"nodes_{match}", SHORTCUT) for match in ("superset", "subsequence")),
    ("steps?limit=3", DETOUR),
    ("model_calls?limit=3", DETOUR),
    ("seconds?limit=1", SLOW),
    ("tokens?limit=500", VERBOSE),
    ("final_iou?at=0.5", UNEVEN),
    ("final_dice?at=0.6", UNEVEN),
    ("click_correctness", DETOUR),
    ("progress", DETOUR),
    ("recovery", LEFT),
    ("no_regret", OVERSHOOT),
    ("refuses_absent", ASSERTS),
    ("segments_present", REFUSES),
    ("no_decline", DECLINES),
    ("names_target", OTHER_ORGAN),
    (JUDGE, OTHER_ORGAN),
    ("expected_stop", ENDLESS),
]


Scores = dict[str, list[float | None]]


def name_of(value: object) -> str:
    return value.name if isinstance(value, Evaluator) else str(value) if isinstance(value, str) else ""


@cache
def judge(fault: Fault) -> tuple[Scores, Scores]:
    """The scores without the fault and with it, by evaluator; the reference of a run is the one without the fault."""
    wanted: list[str | Evaluator] = ["final_iou", *(evaluator for evaluator, its in FOUND if its is fault)]
    clean = [run(fault, number, with_fault=False) for number in range(CASES)]
    faulty = [run(fault, number, with_fault=True) for number in range(CASES)]
    both = []
    for records in (clean, faulty):
        pairs = zip(records, clean, strict=True)
        found = [judge_run(each, wanted, reference=reference, target="liver") for each, reference in pairs]
        both.append({name: [results[name].score for results in found] for name in map(name_of, wanted)})
    return both[0], both[1]


def differs(first: Sequence[float | None], second: Sequence[float | None]) -> bool:
    """Whether the interval of the paired difference excludes 0."""
    found = compare(first, second, None, Bootstrap(resamples=1000)).difference
    assert found.low is not None
    assert found.high is not None
    return found.low > 1e-9 or found.high < -1e-9


@pytest.mark.slow
@pytest.mark.parametrize(("evaluator", "fault"), FOUND, ids=name_of)
def test_it_finds_what_the_mean_iou_does_not(evaluator: str | Evaluator, fault: Fault) -> None:
    clean, faulty = judge(fault)
    assert not differs(clean["final_iou"], faulty["final_iou"])
    assert differs(clean[name_of(evaluator)], faulty[name_of(evaluator)])


def test_every_evaluator_that_ships_has_its_fault() -> None:
    found = {name_of(evaluator).partition("?")[0] for evaluator, _ in FOUND}
    assert found - {"judge:reading"} == set(plain_evaluators(reference=True))
    assert [form for form in EVALUATORS.forms if form not in found] == ["judge:PROVIDER:MODEL"]


def test_the_faults_are_what_they_say() -> None:
    faults = (SHIFTED, ASSERTS, REFUSES, DECLINES, UNEVEN, OVERSHOOT, SWAPPED)
    pairs = [[np.mean(np.array(some["final_iou"], float)) for some in judge(fault)] for fault in faults]
    means = np.array(pairs).round(3).tolist()
    assert means == [[0.6, 0.6], [0.667, 0.667], [0.667, 0.667], [1.0, 1.0], [0.6, 0.556], [0.8, 0.8], [1.0, 1.0]]
