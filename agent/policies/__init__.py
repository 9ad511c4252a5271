"""Policies by name: baselines, a script, the oracle, a person, local models, and any LangChain chat model."""

from ibisagent.agent.policies.base import Completion, Observation, Policy, SyncPolicy, Turn
from ibisagent.agent.policies.options import PolicyOptions
from ibisagent.agent.policies.oracle import OraclePolicy
from ibisagent.agent.policies.person import PersonPolicy
from ibisagent.agent.policies.registry import POLICIES, find_policy, get_policy
from ibisagent.agent.policies.simple import CentrePolicy, NoPolicy, RandomPolicy, ScriptedPolicy

__all__ = [
    "POLICIES",
    "CentrePolicy",
    "Completion",
    "NoPolicy",
    "Observation",
    "OraclePolicy",
    "PersonPolicy",
    "Policy",
    "PolicyOptions",
    "RandomPolicy",
    "ScriptedPolicy",
    "SyncPolicy",
    "Turn",
    "find_policy",
    "get_policy",
]
