"""The nodes of the loop: plain functions from the state to an update. The wiring stands in `ibisagent.agent.graph`."""

from ibisagent.agent.nodes.common import cancelled
from ibisagent.agent.nodes.load import load, overlay
from ibisagent.agent.nodes.reason import areason, parse, reason
from ibisagent.agent.nodes.segment import backtrack, segment
from ibisagent.agent.nodes.terminate import review, terminate

__all__ = ["areason", "backtrack", "cancelled", "load", "overlay", "parse", "reason", "review", "segment", "terminate"]
