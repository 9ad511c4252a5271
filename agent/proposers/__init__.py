"""Proposers: from a picture and a request to an initial mask, which the loop checks, refines or drops."""

from ibisagent.agent.proposers.base import Proposal, Proposer

__all__ = ["Proposal", "Proposer"]
