import itertools

import pytest

from ibisagent.ui.web.conversation import describe_conversation

EVIL = "<img src=x>"


def step(index, **other):
    known = {"actor": "policy", "label": EVIL, "thought": EVIL, "error": None, "score": 0.5, "seconds": 0.25}
    return {"index": index, "area_px": 1234, "area_mm2": None, "mask": {"size": [9, 9], "counts": "x"}} | known | other


def request(first_step, stop_kind="done", answer=None, start=None):
    asked = {"text": EVIL, "kind": "segment", "first_step": first_step, "stop_kind": stop_kind, "answer": answer}
    return asked | {"start": start}


def start(**other):
    known = {"by": EVIL, "reason": None, "score": 0.75, "seconds": 0.5, "mask": {"size": [9, 9], "counts": "x"}}
    return known | {"area_px": 4321, "area_mm2": 20.0, "iou": None} | other


def snapshot(requests, steps, running=False):
    return {"requests": requests, "steps": steps, "running": running, "thinking_seconds": 2.6, "read_only": False}


def test_each_request_has_its_steps_below_it_and_an_ending():
    messages = describe_conversation(snapshot([request(1), request(3, answer=EVIL)], [step(1), step(2), step(3)]))
    parents = [message.get("metadata", {}).get("parent_id") for message in messages]
    assert parents == [None, None, "run-0", "run-0", None, None, None, "run-1", None]
    assert [message["role"] for message in messages].count("user") == 2
    assert messages[4]["content"] == "Done: 1,234 px."
    assert [message["metadata"]["title"] for message in messages if not message["content"]] == [
        "2 steps, 0.5 s",
        "1 step, 0.2 s",
    ]


def test_nothing_of_a_text_is_left_as_html():
    for running, begun in itertools.product((False, True), (start(), start(mask=None, reason=EVIL))):
        messages = describe_conversation(
            snapshot([request(1, answer=EVIL, start=begun)], [step(1), step(2, error=EVIL, actor=EVIL)], running)
        )
        assert "<" not in repr(messages)


def test_a_proposal_is_step_0_with_its_author_score_area_and_seconds():
    (_, run, proposed, first, _) = describe_conversation(snapshot([request(1, start=start(by="nano"))], [step(1)]))
    assert proposed["metadata"] == {
        "title": "0. Proposed by nano",
        "id": "step-0-0",
        "parent_id": run["metadata"]["id"],
        "log": "score 0.75, 4,321 px, 20 mm², 0.5 s",
    }
    assert first["metadata"]["parent_id"] == "run-0"
    assert run["metadata"]["title"] == "1 step, 0.2 s"


def test_nothing_proposed_says_why_and_a_given_mask_is_named():
    nothing = start(by="nano", mask=None, reason="no such target", score=None, area_px=0)
    said = describe_conversation(snapshot([request(1, start=nothing)], []))[2]
    assert (said["metadata"]["title"], said["content"]) == (
        "0. Nothing proposed by nano",
        "Nothing proposed: no such target.",
    )
    assert said["metadata"]["log"] == "0.5 s"
    given = describe_conversation(snapshot([request(1, start=start(by=None, score=None))], []))[2]
    assert given["metadata"]["title"] == "0. Initial mask"
    assert given["metadata"]["log"] == "4,321 px, 20 mm²"


def test_a_run_in_progress_counts_the_step_and_its_seconds():
    messages = describe_conversation(snapshot([request(1)], [step(1)], running=True))
    assert messages[1]["metadata"] == {"id": "run-0", "title": "Step 2, 3 s …", "status": "pending"}
    assert messages[-1]["metadata"]["parent_id"] == "run-0"


@pytest.mark.parametrize("stop_kind", ["absent", "declined", "failed", "cancelled", "waiting"])
def test_endings_read_differently(stop_kind):
    kinds = ["done", "absent", "declined", "failed", "cancelled", "waiting"]
    endings = [describe_conversation(snapshot([request(1, kind)], [step(1)]))[-1]["content"] for kind in kinds]
    assert endings.count(endings[kinds.index(stop_kind)]) == 1
