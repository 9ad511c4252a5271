"""Vision-language models that run in this process, through transformers."""

from ibisagent.agent.policies.local.inputs import Encoded, Inputs
from ibisagent.agent.policies.local.naming import NANO, folder_of, open_named
from ibisagent.agent.policies.local.opening import PROFILE, open_local, open_model, read_profile
from ibisagent.agent.policies.local.policy import LocalPolicy

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
