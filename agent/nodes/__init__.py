"""The nodes of the loop: plain functions from the state to an update. The wiring stands in `ibisagent.agent.graph`."""

from ibisagent.agent.nodes.applying import backtrack, segment
from ibisagent.agent.nodes.beginning import load, overlay
from ibisagent.agent.nodes.common import cancelled
from ibisagent.agent.nodes.ending import review, terminate
from ibisagent.agent.nodes.reasoning import areason, parse, reason

__all__ = ["areason", "backtrack", "cancelled", "load", "overlay", "parse", "reason", "review", "segment", "terminate"]
