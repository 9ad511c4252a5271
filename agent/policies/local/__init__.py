"""Vision-language models that run in this process, through transformers."""

from ibisagent.agent.policies.local.loading import PROFILE, open_local, open_model, read_profile
from ibisagent.agent.policies.local.named_models import NANO, find_model_folder, open_named
from ibisagent.agent.policies.local.policy import LocalPolicy
from ibisagent.agent.policies.local.qwen_inputs import EncodedConversation, QwenInputs

__all__ = [
    "NANO",
    "PROFILE",
    "EncodedConversation",
    "LocalPolicy",
    "QwenInputs",
    "find_model_folder",
    "open_local",
    "open_model",
    "open_named",
    "read_profile",
]
