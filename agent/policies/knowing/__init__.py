"""A model that knows its limits: what is named and was never learned is declined, and no other name is told."""

from ibisagent.agent.policies.knowing.asking import Asked, understand
from ibisagent.agent.policies.knowing.policy import KnowingPolicy
from ibisagent.agent.policies.knowing.targets import TARGETS, Targets, read_targets

__all__ = ["TARGETS", "Asked", "KnowingPolicy", "Targets", "read_targets", "understand"]
