"""How a reply ended: cut, refused, filtered or empty, from a provider's message to the loop and its replay."""

import asyncio
import json

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.fakes import NOT_THERE, STOP, FunctionPolicy, positive
from support.openai_server import completion_body, make_chat_policy, serve

from ibisagent.agent import build_graph
from ibisagent.agent.policies import Completion
from ibisagent.agent.policies.chat import ChatPolicy
from ibisagent.agent.policies.finish_reason import read_finish_reason
from ibisagent.agent.policies.retries import Retries
from ibisagent.agent.replay import replay
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.tools.imaging.open_image import open_image

CUT = "<think>Here.</think>\n<action>Positive Point (0.375, 0."
REQUEST = "Segment it."
REFUSED = "I can't help with medical images."


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"finish_reason": "FinishReason.MAX_TOKENS"}, "length"),
        ({"stopReason": "max_tokens"}, "length"),
        ({"done_reason": "length", "done": True}, "length"),
        ({"finish_reason": 2}, "length"),  # Google's number for it
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "completed", "incomplete_details": None}, "stop"),
        ({"finish_reason": "STOP"}, "stop"),
        ({"stop_reason": "end_turn"}, "end_turn"),
        ({}, "stop"),
    ],
)
def test_every_provider_s_word_for_a_cut_is_length(told, finish):
    assert read_finish_reason(told) == finish
    message = AIMessage("a", response_metadata=told)
    assert ChatPolicy(GenericFakeChatModel(messages=iter([])))._completion(message, 0.0).finish_reason == finish


def by(*replies):
    """Reply with texts and completions in their order."""
    return FunctionPolicy(lambda observation: replies[observation.step])


def cut(text):
    return Completion(text, finish_reason="length")


def test_a_cut_reply_is_asked_again_and_told(pixels):
    graph = build_graph(by(cut(CUT), cut("<think>Here.</think>\n<action>Terminate"), positive(0.5, 0.5), STOP), "disk")
    ended = graph.invoke({"image": pixels, "request": REQUEST})
    assert (ended["stop"], len(ended["steps"])) == ("terminated", 4)
    assert [step["action"] and step["action"]["type"] for step in ended["steps"]] == [None, None, "point", "terminate"]
    assert [step["error"].split(" at ")[0] for step in ended["steps"][:2]] == ["got a reply that was cut"] * 2


def test_a_cut_stop_asserts_no_absence_and_a_closed_one_in_a_cut_reply_does(pixels):
    absent = STOP.replace("There it is.", "There is none.")
    start = {"image": pixels, "request": REQUEST}
    open_stop, open_answer = absent.partition("</action>")[0], absent.partition("none")[0]
    ended = build_graph(by(*[cut(open_stop)] * 3), "disk").invoke(start)
    assert (ended["stop"], ended["answer"]) == ("parse_failures", None)
    ended = build_graph(by(cut(open_answer)), "disk").invoke(start)
    assert (ended["stop"], ended["answer"]) == ("target_absent", None)
    ended = build_graph(by(cut(absent)), "disk").invoke(start)
    assert (ended["stop"], ended["answer"]) == ("target_absent", "There is none.")


def test_a_replay_reads_a_cut_reply_as_the_run_did(pixels):
    replies = (
        cut("<think>Here.</think>\n<action>Backtrack"),
        cut(positive(0.5, 0.5)),
        cut(STOP.partition(" it is")[0]),
    )
    graph = build_graph(by(*replies), "disk")
    record = build_trajectory(graph, graph.invoke({"image": pixels, "request": REQUEST}))
    record = Trajectory.from_json(json.loads(json.dumps(record.to_json())))
    assert [step.action and step.action["type"] for step in record.steps] == [None, "point", "terminate"]
    assert "answer dropped: it was cut" in record.steps[2].repairs
    again = replay(record, "disk", open_image(pixels))
    assert again.differences == ()
    assert (again.run.stop, again.run.answer) == (record.stop, record.answer) == ("terminated", None)
    assert [step.error for step in again.run.steps] == [step.error for step in record.steps]


def test_what_a_person_types_is_whole_whatever_it_ends_with(pixels):
    graph = build_graph("person", "disk", checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke({"image": pixels, "request": REQUEST}, thread)
    graph.invoke(Command(resume="Positive Point 0.5 0.25"), thread)
    (step,) = graph.get_state(thread).values["steps"]
    assert (step["action"]["x"], step["action"]["y"], step["error"]) == (0.5, 0.25, None)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize(
    ("message", "told"),
    [
        (AIMessage("", additional_kwargs={"refusal": REFUSED}), f"the provider refused: {REFUSED}"),
        (AIMessage([{"type": "refusal", "refusal": REFUSED}]), f"the provider refused: {REFUSED}"),
        (AIMessage(STOP, additional_kwargs={"refusal": "No.\nNever."}), "the provider refused: No. Never."),
        (
            AIMessage("", response_metadata={"finish_reason": "content_filter"}),
            "the provider refused: content_",
        ),
        (AIMessage(STOP, response_metadata={"finish_reason": "SAFETY"}), "the provider refused: safety"),
        (AIMessage("", response_metadata={"stop_reason": "refusal"}), "the provider refused: refusal"),
        (AIMessage("", response_metadata={"finish_reason": "length"}), "the provider sent no text"),
        (AIMessage(" \n"), "EmptyReply: the provider sent an empty reply (it ended with 'stop')"),
    ],
)
def test_a_refusal_is_told_and_is_no_absence(message, told, way, pixels):
    model = GenericFakeChatModel(messages=iter([message]))
    graph = build_graph(ChatPolicy(model, retries=Retries(max_retries=0)), "disk")
    start = {"image": pixels, "request": REQUEST}
    ended = graph.invoke(start) if way == "invoke" else asyncio.run(graph.ainvoke(start))
    assert (ended["stop"], ended["answer"], ended["steps"]) == ("policy_error", None, [])
    assert ended["error"].startswith(told)
    assert "\n" not in ended["error"]


def test_a_server_s_refusal_is_told_at_once_and_an_empty_reply_is_asked_again(pixels):
    start = {"image": pixels, "request": REQUEST}
    with serve(lambda body: completion_body(None, refusal=REFUSED)) as server:
        ended = build_graph(make_chat_policy(server), "disk").invoke(start)
        assert (ended["stop"], len(server.requests)) == ("policy_error", 1)
    assert REFUSED in ended["error"]
    with serve(lambda body: completion_body("" if len(server.requests) == 1 else NOT_THERE)) as server:
        ended = build_graph(make_chat_policy(server), "disk").invoke(start)
        assert (ended["stop"], len(server.requests)) == ("target_absent", 2)


def test_a_server_s_cut_reply_is_asked_again(pixels):
    with serve(
        lambda body: completion_body(CUT, "length") if len(server.requests) == 1 else completion_body(STOP)
    ) as server:
        ended = build_graph(make_chat_policy(server), "disk").invoke({"image": pixels, "request": REQUEST})
        words = json.dumps(server.requests[1]["messages"][-1])
    assert "could not be used: got a reply that was cut at" in words
    assert ended["steps"][0]["action"] is None
