"""The nodes of the loop: plain functions from the state to an update. `ibisagent.agent.graph` connects them."""

from ibisagent.agent.nodes.common import is_cancelled
from ibisagent.agent.nodes.load import load, overlay
from ibisagent.agent.nodes.reason import areason, parse, reason
from ibisagent.agent.nodes.segment import backtrack, segment
from ibisagent.agent.nodes.terminate import review, terminate

__all__ = [
    "areason",
    "backtrack",
    "is_cancelled",
    "load",
    "overlay",
    "parse",
    "reason",
    "review",
    "segment",
    "terminate",
]
