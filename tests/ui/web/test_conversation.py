import pytest

from ibisagent.ui.web.conversation import describe_conversation

EVIL = "<img src=x>"


def step(index, **other):
    known = {"actor": "policy", "label": EVIL, "thought": EVIL, "error": None, "score": 0.5, "seconds": 0.25}
    return {"index": index, "area_px": 1234, "area_mm2": None} | known | other


def request(first_step, stop_kind="done", answer=None):
    return {"text": EVIL, "kind": "segment", "first_step": first_step, "stop_kind": stop_kind, "answer": answer}


def snapshot(requests, steps, running=False):
    return {"requests": requests, "steps": steps, "running": running, "thinking_seconds": 2.6, "read_only": False}


def test_each_request_has_its_steps_below_it_and_an_ending():
    messages = describe_conversation(snapshot([request(1), request(3, answer=EVIL)], [step(1), step(2), step(3)]))
    parents = [message.get("metadata", {}).get("parent_id") for message in messages]
    assert parents == [None, None, "run-0", "run-0", None, None, None, "run-1", None]
    assert [message["role"] for message in messages].count("user") == 2
    assert messages[4]["content"] == "Done: 1,234 px."
    assert [message["metadata"]["title"] for message in messages if not message["content"]] == ["2 steps", "1 step"]


def test_nothing_of_a_text_is_left_as_html():
    for running in (False, True):
        messages = describe_conversation(
            snapshot([request(1, answer=EVIL)], [step(1), step(2, error=EVIL, actor=EVIL)], running)
        )
        assert "<" not in repr(messages)


def test_a_run_in_progress_counts_the_step_and_its_seconds():
    messages = describe_conversation(snapshot([request(1)], [step(1)], running=True))
    assert messages[1]["metadata"] == {"id": "run-0", "title": "Step 2, 3 s …", "status": "pending"}
    assert messages[-1]["metadata"]["parent_id"] == "run-0"


@pytest.mark.parametrize("stop_kind", ["absent", "declined", "failed", "cancelled", "waiting"])
def test_endings_read_differently(stop_kind):
    kinds = ["done", "absent", "declined", "failed", "cancelled", "waiting"]
    endings = [describe_conversation(snapshot([request(1, kind)], [step(1)]))[-1]["content"] for kind in kinds]
    assert endings.count(endings[kinds.index(stop_kind)]) == 1
