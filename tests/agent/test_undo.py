"""Undo: by the policy, by a guard, by a person; masks and logits are restored bit for bit, and recorded."""

import asyncio

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.fakes import (
    NOT_THERE,
    STOP,
    UNDO,
    CountingSegmenter,
    FunctionPolicy,
    RecordingPolicy,
    negative,
    positive,
    script,
)

from ibisagent.agent import Guard, LoopConfig, PersonPolicy, build_graph
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.clicks import Click
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode

THREAD = {"configurable": {"thread_id": "1"}}


class PriorRecordingSegmenter(CountingSegmenter):
    """Records the prior of each prediction."""

    def __init__(self):
        super().__init__()
        self.priors = []

    def predict(self, embedding, prompts, prior):
        self.priors.append((len(prompts), prior))
        return super().predict(embedding, prompts, prior)


def run(policy, pixels, segmenter, config=None, **given):
    return build_graph(policy, segmenter, config).invoke({"image": pixels, "request": "Segment.", **given})


def test_mask_and_prior_come_back_bit_for_bit_without_a_call(pixels):
    segmenter = PriorRecordingSegmenter()
    ended = run(script(positive(0.3, 0.5), positive(0.7, 0.5), UNDO, positive(0.3, 0.8), STOP), pixels, segmenter)
    masks = [step["mask"] for step in ended["steps"]]
    assert masks[2] == masks[0]
    assert segmenter.predictions == 3
    second, after_undo = (prior for count, prior in segmenter.priors if count == 2)
    assert second is after_undo
    assert ended["steps"][2]["reverts"] == 2


@pytest.mark.parametrize("name", ["geodesic", "geocut"])
def test_real_segmenters_come_back_as_well(name, pixels):
    ended = run(script(positive(0.5, 0.4), negative(0.9, 0.9), UNDO, UNDO, NOT_THERE), pixels, name)
    masks = [step["mask"] for step in ended["steps"]]
    assert masks[2] == masks[0]
    assert not decode(ended["mask"]).any()
    assert ended["stop"] == "target_absent"


def test_without_a_prompt_the_initial_mask_is_dropped(pixels, truth):
    ended = run(script(UNDO, positive(0.1, 0.1), STOP), pixels, "disk", initial_mask=truth)
    assert ended["steps"][0]["reverts"] == 0
    assert not (decode(ended["mask"]) & truth).any()


def test_nothing_to_undo_is_told_to_the_policy(pixels):
    policy = RecordingPolicy(script(UNDO, positive(0.5, 0.5), STOP))
    ended = run(policy, pixels, "disk")
    assert ended["stop"] == "terminated"
    assert policy.seen[1].feedback == "Backtrack: there is nothing to undo"


def test_the_policy_is_told_what_was_undone_at_this_mask_only(pixels):
    policy = RecordingPolicy(script(positive(0.2, 0.2), UNDO, positive(0.8, 0.8), STOP))
    run(policy, pixels, "disk")
    assert [seen.undone for seen in policy.seen] == [(), (), (Click(0.2, 0.2),), ()]


def test_the_notice_holds_the_last_three_and_can_be_switched_off(pixels):
    replies = [text for k in range(5) for text in (positive(0.1 + 0.2 * k, 0.5), UNDO)]
    policy = RecordingPolicy(script(*replies, STOP))
    run(policy, pixels, "disk")
    assert policy.seen[-1].undone == (Click(0.5, 0.5), Click(0.7, 0.5), Click(0.9, 0.5))
    silent = RecordingPolicy(script(positive(0.2, 0.2), UNDO, positive(0.8, 0.8), STOP))
    run(silent, pixels, "disk", LoopConfig(undo_notice=False))
    assert all(seen.undone == () for seen in silent.seen)


def test_a_greedy_stateless_policy_that_clicked_wrongly_need_not_end_in_a_loop(pixels, truth):
    """A pure function of the observation: it clicks wrongly, undoes, and because of the notice clicks elsewhere."""

    def greedy(seen):
        if not seen.mask.any():
            return positive(0.55, 0.42) if seen.undone else positive(0.1, 0.9)
        return STOP if (seen.mask & truth).any() else UNDO

    ended = run(FunctionPolicy(greedy), pixels, "disk")
    assert ended["stop"] == "terminated"
    assert [step["action"]["type"] for step in ended["steps"]] == ["point", "backtrack", "point", "terminate"]


def test_the_guard_undoes_a_flood(pixels):
    ended = run(
        script(positive(0.5, 0.5), STOP), pixels, CountingSegmenter(radius=2.0), LoopConfig(guard=Guard(flood=0.5))
    )
    assert [step["actor"] for step in ended["steps"]] == ["policy", "guard", "policy"]
    assert ended["steps"][1]["reverts"] == 1
    assert not decode(ended["mask"]).any()


def test_the_guard_undoes_a_collapse(pixels):
    config = LoopConfig(guard=Guard(collapse=0.5))
    ended = run(script(positive(0.5, 0.5), negative(0.5, 0.5), STOP), pixels, CountingSegmenter(), config)
    assert [step["actor"] for step in ended["steps"]] == ["policy", "policy", "guard", "policy"]
    assert ended["steps"][2]["mask"] == ended["steps"][0]["mask"]


def test_a_person_as_policy_clicks_undoes_and_stops(pixels):
    graph = build_graph(PersonPolicy(), "disk", checkpointer=InMemorySaver())
    paused = graph.invoke({"image": pixels, "request": "Segment."}, THREAD)
    assert paused["__interrupt__"][0].value["ask"] == "action"
    for said in ("Positive Point (0.5, 0.5)", {"type": "point", "x": 0.2, "y": 0.2, "positive": True}, "Backtrack"):
        paused = graph.invoke(Command(resume=said), THREAD)
    assert len(paused["__interrupt__"][0].value["prompts"]) == 1
    ended = graph.invoke(Command(resume="Terminate"), THREAD)
    assert (ended["stop"], {step["actor"] for step in ended["steps"]}) == ("terminated", {"person"})
    assert [step["reverts"] for step in ended["steps"]] == [None, None, 2, None]


def test_a_person_can_be_asked_from_async_code(pixels):
    async def ends():
        graph = build_graph(PersonPolicy(), "disk", checkpointer=InMemorySaver())
        await graph.ainvoke({"image": pixels, "request": "Segment."}, THREAD)
        await graph.ainvoke(Command(resume={"type": "point", "x": 0.5, "y": 0.5, "positive": True}), THREAD)
        return await graph.ainvoke(Command(resume={"type": "terminate"}), THREAD)

    ended = asyncio.run(ends())
    assert (ended["stop"], len(ended["steps"])) == ("terminated", 2)


def test_a_person_s_undo_in_review_leads_back_into_the_loop(pixels):
    policy = script(positive(0.3, 0.5), positive(0.9, 0.9), STOP, STOP)
    graph = build_graph(policy, "disk", LoopConfig(review=True), checkpointer=InMemorySaver())
    asked = graph.invoke({"image": pixels, "request": "Segment."}, THREAD)["__interrupt__"][0].value
    assert (asked["ask"], asked["stop"], asked["answer"]) == ("review", "terminated", "There it is.")
    again = graph.invoke(Command(resume="no idea"), THREAD)["__interrupt__"][0].value
    assert again["error"]
    once_more = graph.invoke(Command(resume="Backtrack"), THREAD)
    assert len(once_more["__interrupt__"][0].value["prompts"]) == 1
    ended = graph.invoke(Command(resume="accept"), THREAD)
    assert [step["actor"] for step in ended["steps"]] == ["policy", "policy", "policy", "person", "policy", "person"]
    assert ended["mask"]["counts"] != asked["mask"]["counts"]
    assert ended["stop"] == "terminated"


def test_record_and_sheet_show_every_undo(pixels):
    image = open_image(pixels)

    def recorded(*replies):
        graph = build_graph(script(*replies), "disk")
        return build_trajectory(graph, graph.invoke({"image": image, "request": "Segment."}))

    def reddish(record):
        sheet = np.asarray(contact_sheet_of(record, image)).astype(int)
        return (np.abs(sheet - (190, 40, 20)).sum(axis=2) < 10).sum()

    record = recorded(positive(0.2, 0.2), UNDO, positive(0.5, 0.5), STOP)
    assert [step.reverts for step in record.steps] == [None, 1, None, None]
    assert [len(step.undone) for step in record.steps] == [0, 0, 1, 0]
    assert reddish(record) > reddish(recorded(positive(0.5, 0.5), STOP)) + 1000
