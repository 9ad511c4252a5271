"""Shared by the tests of experts: a run with all its observations, and one observation by itself."""

from dataclasses import replace

from support.fakes import STOP, Watched, script

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.agent.trajectory import build_trajectory


def run(policy, pixels, segmenter="geodesic", max_steps=8, **given):
    """The record of a run and the observations in it."""
    seeing = Watched(policy)
    graph = build_graph(seeing, segmenter, LoopConfig(max_steps=max_steps))
    return build_trajectory(graph, graph.invoke({"image": pixels, "request": "Segment it.", **given})), seeing.seen


def kinds(record):
    return [step.action["type"] for step in record.steps]


def observation(pixels, **changes):
    _, seen = run(script(STOP), pixels)
    return replace(seen[0], **changes)


def action_of(completion):
    return parse_reply(completion.text, strict=True).action
