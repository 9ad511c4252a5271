"""Every run ends with a stop reason, and with the mask that this reason promises."""

import threading
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from langgraph.graph import END, START, StateGraph
from support.fakes import STOP, UNDO, CountingSegmenter, FunctionPolicy, negative, positive, script
from typing_extensions import TypedDict

from ibisagent.agent import Guard, LoopConfig, build_graph
from ibisagent.agent.config import SelfCheck
from ibisagent.agent.policies import Completion, OraclePolicy
from ibisagent.tools.clicks import Box, Click
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters import Prediction


def run(policy, pixels, segmenter="disk", config=None, **given):
    context = given.pop("context", None)
    start = {"image": pixels, "request": "Segment the ellipse."} | given
    return build_graph(policy, segmenter, config).invoke(start, context=context)


def mask_after(pixels, *replies):
    """Return the mask after the replies, from a run that the policy ends."""
    return decode(run(script(*replies, STOP), pixels)["mask"])


def test_terminated_keeps_the_mask_and_the_answer(pixels):
    ended = run(script(positive(0.5, 0.5), STOP), pixels)
    assert (ended["stop"], ended["answer"]) == ("terminated", "There it is.")
    assert decode(ended["mask"])[48, 64]
    assert [step["action"]["type"] for step in ended["steps"]] == ["point", "terminate"]


def test_target_absent_gives_the_empty_mask(pixels):
    ended = run(OraclePolicy(np.zeros(pixels.shape, bool)), pixels)
    assert ended["stop"] == "target_absent"
    assert not decode(ended["mask"]).any()
    assert ended["answer"]


def test_a_plain_question_is_answered_without_a_mask(pixels):
    ended = run(script(STOP), pixels, kind="question")
    assert (ended["stop"], ended["answer"]) == ("answered", "There it is.")
    assert not decode(ended["mask"]).any()


def test_max_steps_keeps_the_last_mask(pixels):
    replies = [positive(0.1 + 0.1 * k, 0.5) for k in range(8)]
    ended = run(script(*replies), pixels, config=LoopConfig(max_steps=3))
    assert ended["stop"] == "max_steps"
    assert len(ended["steps"]) == 3
    assert np.array_equal(decode(ended["mask"]), mask_after(pixels, *replies[:3]))


def test_the_same_action_on_the_same_mask_is_a_loop(pixels):
    ended = run(script(positive(0.5, 0.5), positive(0.5, 0.5), positive(0.5, 0.5)), pixels)
    assert ended["stop"] == "loop"
    assert [step["error"] for step in ended["steps"]] == [None, None, "repeats step 2 on the same mask"]
    assert np.array_equal(decode(ended["mask"]), mask_after(pixels, positive(0.5, 0.5)))


def test_click_undo_click_undo_is_a_loop(pixels):
    ended = run(script(*[positive(0.5, 0.5), UNDO] * 4), pixels)
    assert ended["stop"] == "loop"
    assert len(ended["steps"]) == 4
    assert np.array_equal(decode(ended["mask"]), mask_after(pixels, positive(0.5, 0.5)))


def test_alternating_clicks_that_cancel_each_other_are_a_loop(pixels):
    ended = run(script(*[positive(0.5, 0.5), negative(0.5, 0.5)] * 4), pixels)
    assert ended["stop"] == "loop"
    assert not decode(ended["mask"]).any()


def test_a_mask_that_no_longer_changes_is_stalled(pixels):
    inside = [positive(0.5 + 0.001 * k, 0.5) for k in range(6)]
    ended = run(
        script(positive(0.5, 0.5), *inside), pixels, segmenter=PaintingSegmenter(), config=LoopConfig(patience=3)
    )
    assert ended["stop"] == "stalled"
    assert len(ended["steps"]) == 4
    assert decode(ended["mask"]).all()


class PaintingSegmenter(CountingSegmenter):
    """Predicts the full mask whatever is clicked."""

    def predict(self, embedding, prompts, prior):
        return super().predict(embedding, [*prompts, Box(0.0, 0.0, 1.0, 1.0)], prior)


class ConfidentSegmenter(PaintingSegmenter):
    """Scores its mask with a given score."""

    calibrated, trust = True, 0.9

    def predict(self, embedding, prompts, prior):
        return replace(super().predict(embedding, prompts, prior), score=self.trust)


class UnsureSegmenter(ConfidentSegmenter):
    trust = 0.4


class UncalibratedSegmenter(ConfidentSegmenter):
    calibrated = False


@pytest.mark.parametrize(
    ("segmenter", "check", "expected"),
    [
        (ConfidentSegmenter, SelfCheck(), ("settled", 2)),
        (ConfidentSegmenter, None, ("terminated", 4)),
        (ConfidentSegmenter, SelfCheck(score=0.95), ("terminated", 4)),
        (UnsureSegmenter, SelfCheck(), ("terminated", 4)),
        (UncalibratedSegmenter, SelfCheck(), ("terminated", 4)),
    ],
)
def test_a_mask_that_hardly_changes_and_is_trusted_is_settled(segmenter, check, expected, pixels):
    replies = [positive(0.5 + 0.001 * k, 0.5) for k in range(3)]
    ended = run(script(*replies, STOP), pixels, segmenter=segmenter(), config=LoopConfig(self_check=check))
    assert (ended["stop"], len(ended["steps"])) == expected


def test_what_a_person_clicked_is_not_settled_by_itself(pixels):
    config = LoopConfig(self_check=SelfCheck())
    ended = run(
        script(STOP), pixels, segmenter=ConfidentSegmenter(), config=config, prompts=[Click(0.5, 0.5), Click(0.6, 0.5)]
    )
    assert ended["stop"] == "terminated"


def test_unparseable_replies_do_not_hasten_a_stall(pixels):
    inside = [positive(0.5 + 0.001 * k, 0.5) for k in range(5)]
    replies = [inside[0], "hm", inside[1], inside[2], inside[3], inside[4]]
    ended = run(script(*replies), pixels, segmenter=PaintingSegmenter(), config=LoopConfig(patience=3))
    assert (ended["stop"], len(ended["steps"])) == ("stalled", 5)


def test_unparseable_replies_in_a_row_end_with_the_mask_in_force(pixels):
    ended = run(script(positive(0.5, 0.5), "hm", "I am not sure.", "..."), pixels)
    assert ended["stop"] == "parse_failures"
    assert [step["error"] is None for step in ended["steps"]] == [True, False, False, False]
    assert np.array_equal(decode(ended["mask"]), mask_after(pixels, positive(0.5, 0.5)))


def test_one_unparseable_reply_comes_back_as_the_next_message(pixels):
    told = []

    def policy(observation):
        told.append(observation.feedback)
        return ["Positive Point (451, 424)", positive(0.5, 0.5), STOP][observation.step]

    ended = run(FunctionPolicy(policy), pixels)
    assert ended["stop"] == "terminated"
    assert "451" in told[1]
    assert told[2] is None


def test_seconds_run_out(pixels):
    slow = FunctionPolicy(lambda _: Completion(positive(0.3, 0.5), seconds=5.0))
    ended = run(slow, pixels, config=LoopConfig(max_seconds=4.0))
    assert ended["stop"] == "budget"
    assert np.array_equal(decode(ended["mask"]), mask_after(pixels, positive(0.3, 0.5)))


def test_tokens_run_out(pixels):
    usage = {"input_tokens": 300, "output_tokens": 50}
    wordy = FunctionPolicy(lambda seen: Completion(positive(0.1 + 0.1 * seen.step, 0.5), usage=usage))
    ended = run(wordy, pixels, config=LoopConfig(max_tokens=600))
    assert (ended["stop"], ended["run"]["tokens"]) == ("budget", 700)


@pytest.mark.parametrize("limit", [8, 9, 10, 11, 12, 13, 25])
@pytest.mark.parametrize("unreadable", [0, 2])
def test_a_parent_with_a_small_recursion_limit_gets_a_typed_end(limit, unreadable, pixels):
    class LimitedParent(TypedDict, total=False):
        image: object
        request: str
        mask: dict
        stop: str

    clicks = [positive(0.05 * k, 0.5) for k in range(1, 20)]
    inner = build_graph(script(clicks[0], *["?"] * unreadable, *clicks[1:]), "disk", LoopConfig(guard=Guard()))
    parent = StateGraph(LimitedParent)
    parent.add_node("segment", inner)
    parent.add_edge(START, "segment")
    parent.add_edge("segment", END)
    given = {"image": inner.components.images.to_reference(pixels), "request": "Segment."}
    ended = parent.compile().invoke(given, {"recursion_limit": limit})
    assert ended["stop"] == "budget"


def test_a_parent_s_context_may_be_of_any_kind(pixels):
    class PatientContext(NamedTuple):
        patient: str
        cancel: object = None

    inner = build_graph(script(positive(0.5, 0.5), STOP), "disk")
    assert inner.invoke({"image": pixels, "request": "x"}, context=PatientContext("a"))["stop"] == "terminated"


@pytest.mark.parametrize("said", [RuntimeError("no such \ud800 model\nand more"), None, 7, Completion(text=None)])
def test_a_policy_that_fails_ends_with_the_mask_in_force(pixels, said):
    def policy(observation):
        if observation.step == 0:
            return positive(0.5, 0.5)
        if isinstance(said, Exception):
            raise said
        return said

    ended = run(FunctionPolicy(policy), pixels)
    assert ended["stop"] == "policy_error"
    assert "\n" not in ended["error"].encode("utf-8").decode()
    assert np.array_equal(decode(ended["mask"]), mask_after(pixels, positive(0.5, 0.5)))


def test_a_segmenter_that_fails_leaves_the_mask_of_the_step_before(pixels):
    ended = run(script(positive(0.3, 0.5), positive(0.7, 0.5), STOP), pixels, segmenter=CountingSegmenter(fails_at=2))
    assert ended["stop"] == "segmenter_error"
    assert ended["error"] == "RuntimeError: out of memory second line"
    assert ended["steps"][-1]["error"] == "RuntimeError: out of memory second line"
    with_one = run(script(positive(0.3, 0.5), STOP), pixels, segmenter=CountingSegmenter())
    assert ended["mask"] == with_one["mask"]


def test_cancelled_ends_with_the_mask_in_force(pixels):
    cancel = threading.Event()

    def policy(observation):
        if observation.step == 2:
            cancel.set()
        return positive(0.2 + 0.1 * observation.step, 0.5)

    ended = run(FunctionPolicy(policy), pixels, context={"cancel": cancel})
    assert ended["stop"] == "cancelled"
    assert len(ended["steps"]) == 2
    assert np.array_equal(decode(ended["mask"]), mask_after(pixels, *[positive(0.2 + 0.1 * k, 0.5) for k in range(2)]))


def test_lone_surrogates_and_two_megabytes_do_no_harm(pixels):
    huge = "<think>" + "x" * 2_000_000 + "</think>\n<action>Terminate</action>\n<answer>\ud800 done</answer>"
    ended = run(script(positive(0.5, 0.5), huge), pixels)
    assert ended["stop"] == "terminated"
    ended["answer"].encode("utf-8")


def answered(pixels, answer, **given):
    reply = f"<think>Here.</think>\n<action>Terminate</action>\n<answer>{answer}</answer>"
    graph = build_graph(script(*[reply] * 3), "disk")
    return graph.invoke({"image": pixels, "request": "Segment the cyst.", **given})


@pytest.mark.parametrize(
    "answer",
    [
        *("I cannot tell whether there is a cyst.", "Not sure.", "I'm sorry, I can't assist with medical images."),
        *("Error: image could not be loaded.", "No image was provided.", "The scan couldn't be read.", "Inconclusive."),
        *("I don't know.", "It's unclear whether a cyst is present.", "It is hard to say.", "Maybe there is a cyst."),
        *("Possibly a cyst.", "The image quality is too poor to decide.", "The cyst cannot be reliably distinguished."),
        *("Not determinable.", "Unclear.", "Unknown.", "N/A", "I don't see an image.", "I can’t view images.", "Done."),
        *("I do not know what a cyst looks like.", "Please provide the image.", "It may be outside the slice."),
        "As an AI I am not qualified to give medical advice.",
        "I cannot rule out that it is absent.",
        "I doubt that there is a cyst.",
    ],
)
def test_an_answer_that_cannot_tell_asserts_no_absence(answer, pixels):
    ended = answered(pixels, answer)
    assert (ended["stop"], ended["answer"]) == ("declined", answer)
    assert answered(pixels, answer, kind="question")["stop"] == "answered"
    assert answered(pixels, answer, prompts=[Click(0.5, 0.5)])["stop"] == "terminated"


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "There is no cyst.",
            "I cannot see a cyst.",
            "The image does not show a cyst.",
            "None",
            "No cyst was segmented.",
        ),
        *("The cyst could not be found.", "It is certain that none is there.", "Nothing is covered."),
        "The left kidney is missing; the spleen is well outlined.",
        "The target lies outside this slice; only the liver is well delineated.",
        "The gallbladder has been removed; its bed is covered by clips.",
        *("Yes: the picture lacks the cyst.", "There isn't anything to assess here.", "Not in this slice."),
        *("I cannot confirm a cyst: none is there.", "The picture did not provide evidence of a cyst."),
        "I am certain that there is no cyst. I'm not sure why it was asked.",
        "The image was not processed with contrast; no cyst is there.",
        "The scan was not displayed below L2, so the bladder is outside it.",
        "The slice can not display the bladder: it is above the pelvis.",
        "The spot that may be a cyst, or is not sure to be one is not visible.",
        *(
            "The scan does not include the pelvis.",
            "Unable to find a cyst.",
            "The mask is empty because no cyst is there.",
        ),
        "The spleen is visible, the cyst is not.",
        *("I see no cyst in this picture.", "Negative for cyst.", "The liver is free of cysts.", "No.", ""),
    ],
)
def test_an_answer_that_says_absence_asserts_it(answer, pixels):
    assert answered(pixels, answer)["stop"] == "target_absent"


@pytest.mark.parametrize(
    "answer",
    [
        *("The cyst is segmented well; it is at the left.", "Yes", "It has been outlined.", "Here is the cyst."),
        *("There is a cyst in the left kidney.", "The lesion is visible in the left lobe.", "The cyst is present."),
        *("A cyst is seen at the lower pole.", "The green area covers the cyst.", "The mask fits the cyst."),
        *("Segmentation complete.", "The mask is accurate.", "The cyst is segmented; no further clicks are needed."),
        *("The cyst is segmented, not including the wall.", "I segmented the cyst without including the vessel."),
        "The cyst is covered; nothing is missing.",
    ],
)
def test_an_answer_that_says_the_contrary_is_asked_about(answer, pixels):
    ended = answered(pixels, answer)
    assert (ended["stop"], ended["answer"]) == ("parse_failures", None)
    assert ended["error"].startswith("Terminate: nothing is marked, and the answer says that something is")
    assert answered(pixels, answer, prompts=[Click(0.5, 0.5)])["stop"] == "terminated"


def test_a_run_of_replies_that_cannot_be_read_ends_with_what_they_said(pixels):
    graph = build_graph(script(*["I'm sorry, but I can't help with medical images."] * 3), "disk")
    ended = graph.invoke({"image": pixels, "request": "Segment the cyst."})
    assert ended["stop"] == "parse_failures"
    assert ended["error"].startswith("got \"I'm sorry, but I can't help with medical images.\"")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda mask: Prediction(mask[:3, :3], None, None), "a mask as bool of (3, 3), expected bool of"),
        (lambda mask: Prediction(mask.astype(float), None, None), "a mask as float64 of"),
        (lambda mask: Prediction(mask, float("nan"), None), "the score nan"),
        (lambda mask: None, "the segmenter returned NoneType"),
    ],
)
def test_what_is_no_mask_of_the_picture_is_the_segmenter_s_failure(returned, said, pixels):
    class ForgedSegmenter(CountingSegmenter):
        def predict(self, embedding, prompts, prior):
            return returned(super().predict(embedding, prompts, prior).mask)

    ended = build_graph(script(positive(0.5, 0.5), STOP), ForgedSegmenter()).invoke({"image": pixels, "request": "x"})
    assert (ended["stop"], ended["steps"][-1]["outcome"]) == ("segmenter_error", "failed")
    assert said in ended["error"]
