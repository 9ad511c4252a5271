"""A model that knows its limits: what is named and was never learned is declined, and no other name is told."""

from ibisagent.agent.policies.abstention.known_targets import TARGETS, Targets, read_targets
from ibisagent.agent.policies.abstention.policy import KnowingPolicy
from ibisagent.agent.policies.abstention.requested_target import Asked, understand

__all__ = ["TARGETS", "Asked", "KnowingPolicy", "Targets", "read_targets", "understand"]
