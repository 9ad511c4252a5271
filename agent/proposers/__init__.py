"""Proposers: from a picture and a request to an initial mask, which the loop checks, refines or drops."""

from ibisagent.agent.proposers.base import Proposal, Proposer
from ibisagent.agent.proposers.registry import PROPOSERS, get_proposer, open_proposer, require_local_proposer

__all__ = ["PROPOSERS", "Proposal", "Proposer", "get_proposer", "open_proposer", "require_local_proposer"]
