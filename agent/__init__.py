"""The loop: actions, state, nodes, the graph, policies, and the record of what happened."""

from ibisagent.agent.actions import Action, Backtrack, Decline, Redo, Terminate
from ibisagent.agent.config import Guard, LoopConfig
from ibisagent.agent.graph import SegmentationGraph, build_graph
from ibisagent.agent.policies import (
    CentrePolicy,
    Completion,
    Observation,
    OraclePolicy,
    PersonPolicy,
    Policy,
    PolicyOptions,
    RandomPolicy,
    ScriptedPolicy,
    get_policy,
)
from ibisagent.agent.reply_parser import Reply, parse_reply
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.tools.clicks import Box, Click, Similar

__all__ = [
    "Action",
    "Backtrack",
    "Box",
    "CentrePolicy",
    "Click",
    "Completion",
    "Decline",
    "Guard",
    "ImageStore",
    "LoopConfig",
    "Observation",
    "OraclePolicy",
    "PersonPolicy",
    "Policy",
    "PolicyOptions",
    "RandomPolicy",
    "Redo",
    "Reply",
    "RunStore",
    "ScriptedPolicy",
    "SegmentationGraph",
    "Similar",
    "Terminate",
    "build_graph",
    "get_policy",
    "parse_reply",
]
