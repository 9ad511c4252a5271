"""Abstention: a policy declines a target that its model never learned, and replies with the requested name."""

from ibisagent.agent.policies.abstention.known_targets import TARGETS_FILE, KnownTargets, read_targets
from ibisagent.agent.policies.abstention.policy import AbstainingPolicy
from ibisagent.agent.policies.abstention.requested_target import ParsedRequest, parse_request

__all__ = ["TARGETS_FILE", "AbstainingPolicy", "KnownTargets", "ParsedRequest", "parse_request", "read_targets"]
