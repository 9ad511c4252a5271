"""The loop: actions, state, nodes, the graph, policies, and the record of what happened."""

from ibisagent.agent.actions import Action, Backtrack, Terminate
from ibisagent.agent.config import Guard, LoopConfig
from ibisagent.agent.graph import SegmentationGraph, build_graph
from ibisagent.agent.parsing import Reply, parse_reply
from ibisagent.agent.policies import Completion, Observation, Policy, get_policy
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.tools.clicks import Box, Click

__all__ = [
    "Action",
    "Backtrack",
    "Box",
    "Click",
    "Completion",
    "Guard",
    "ImageStore",
    "LoopConfig",
    "Observation",
    "Policy",
    "Reply",
    "RunStore",
    "SegmentationGraph",
    "Terminate",
    "build_graph",
    "get_policy",
    "parse_reply",
]
