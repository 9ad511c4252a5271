"""A person's clicks against the simulator's, on a row of pixels that can be counted by hand."""

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import STOP, positive, script
from support.records import with_target

from ibisagent.agent import Click, build_graph
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.evals.person_clicks import compare_person_clicks
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode, encode
from ibisagent.tools.segmenters.memo import get_memo

SHAPE = (40, 40)
THREAD = {"configurable": {"thread_id": "case"}}


@pytest.fixture
def image():
    return open_image(np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8))


def run_with(image, actions, policy_clicks=(0.25, 0.25)):
    """A run in which the policy clicked once and stopped, and a person then did ``actions``."""
    graph = build_graph(script(positive(*policy_clicks), STOP), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": image, "request": "It."}, THREAD)
    for action in actions:
        ended = intervene(graph, THREAD, action, interrupt_before=["reason"])
    return build_trajectory(graph, ended)


def test_each_click_is_judged_by_the_mask_that_it_met(image):
    clicks = (Click(0.75, 0.75), Click(0.75, 0.75, positive=False))
    record = run_with(image, clicks)
    truth = np.zeros(SHAPE, bool)
    truth[25:36, 25:36] = True  # its deepest pixel is (30, 30), and nothing of the policy's mask
    first, second = compare_person_clicks(with_target(record, truth=encode(truth)))
    before, after = (decode(step.mask) for step in (record.steps[1], record.steps[2]))
    assert not (before & truth).any()
    assert (first.step, first.positive, first.hit, first.distance) == (3, True, True, 0)
    assert first.gain == pytest.approx(iou(after, truth) - iou(before, truth))
    assert first.gain > 0
    assert first.simulated_gain is None, "without a segmenter"
    assert (second.positive, second.hit) == (False, False), "it takes away what is right"
    assert second.gain < 0


def test_the_distance_is_in_pixels_from_the_deepest_one(image):
    record = run_with(image, (Click((27 + 0.5) / 40, (26 + 0.5) / 40),))
    truth = np.zeros(SHAPE, bool)
    truth[25:36, 25:36] = True
    (click,) = compare_person_clicks(with_target(record, truth=encode(truth)))
    assert click.distance == pytest.approx(5.0), "from (26, 27) to (30, 30): 4 down and 3 across"
    empty = with_target(record, truth=encode(np.zeros(SHAPE, bool)))
    (click,) = compare_person_clicks(empty)
    assert (click.hit, click.distance) == (False, None)
    assert compare_person_clicks(record) == [], "without a truth"


def test_the_simulator_s_click_stands_beside_it_with_the_prompts_then_in_force(image):
    memo = get_memo("disk")
    record = run_with(image, ("Backtrack", Click(0.9, 0.9)))
    truth = np.zeros(SHAPE, bool)
    truth[25:36, 5:16] = True
    seen = []

    def predict(initial, prompts):
        seen.append((initial, prompts))
        return memo.predict(image, initial, prompts).prediction.mask

    (click,) = compare_person_clicks(with_target(record, truth=encode(truth)), predict)
    assert not click.hit
    ((initial, prompts),) = seen
    assert initial is None
    (placed,) = prompts
    assert (placed.x, placed.y, placed.positive) == ((10 + 0.5) / 40, (30 + 0.5) / 40, True), "the undone click is out"
    assert click.simulated_gain == pytest.approx(iou(memo.predict(image, None, prompts).prediction.mask, truth))
    assert click.simulated_gain > click.gain
