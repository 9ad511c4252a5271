"""Vision-language models that run in this process, through transformers."""

from ibisagent.agent.policies.local.loading import PROFILE, open_local, open_model, read_profile
from ibisagent.agent.policies.local.policy import LocalPolicy
from ibisagent.agent.policies.local.qwen_inputs import Encoded, Inputs
from ibisagent.agent.policies.local.registry import NANO, folder_of, open_named

__all__ = [
    "NANO",
    "PROFILE",
    "Encoded",
    "Inputs",
    "LocalPolicy",
    "folder_of",
    "open_local",
    "open_model",
    "open_named",
    "read_profile",
]
