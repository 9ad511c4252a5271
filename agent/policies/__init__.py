"""Policies by name: baselines, a script, the oracle, a person, local models, and any LangChain chat model."""

from collections.abc import Callable
from typing import Any

from ibisagent.agent.policies.base import Completion, Observation, Policy, SyncPolicy, Turn
from ibisagent.agent.policies.oracle import OraclePolicy
from ibisagent.agent.policies.person import PersonPolicy
from ibisagent.agent.policies.simple import CentrePolicy, RandomPolicy, ScriptedPolicy
from ibisagent.tools.errors import InputError, MissingExtra

__all__ = [
    "PER_CASE",
    "CentrePolicy",
    "Completion",
    "Observation",
    "OraclePolicy",
    "PersonPolicy",
    "Policy",
    "RandomPolicy",
    "ScriptedPolicy",
    "SyncPolicy",
    "Turn",
    "get_policy",
]

_SIMPLE: dict[str, Callable[[int], Policy]] = {
    "centre": lambda _seed: CentrePolicy(),
    "person": lambda _seed: PersonPolicy(),
    "random": RandomPolicy,
}
PER_CASE = ("oracle", "random")
"""Policies that are built for each case, with its truth and its own seed."""

_REMOTE = ("anthropic", "azure_openai", "google_genai", "ollama", "openai")


def get_policy(
    policy: Policy | str, *, truth: Any = None, seed: int = 0, prompts: Any = None, local_only: bool = False
) -> Policy:
    """Return the policy of a name; a policy itself is returned as it is.

    ``centre``, ``random`` (with ``seed``), ``person``, ``oracle`` (with ``truth``, the true mask); with ``prompts``, a
    `PromptSet`, in place of their own: ``nano``, the model that ships, ``hf:FOLDER_OR_ID``, a Qwen-VL model in this
    process, ``vllm:http://HOST:PORT/v1#MODEL``, a server, and ``provider:model``, a LangChain chat model. A local model
    whose folder lists its learned targets, as nano's does, declines any other target.
    ``local_only`` refuses what is not on this machine and asks no model hub.
    """
    if not isinstance(policy, str):
        return policy
    if policy in _SIMPLE:
        return _SIMPLE[policy](seed)
    if policy == "oracle" and truth is not None:
        return OraclePolicy(truth)
    if policy == "oracle":
        raise InputError("policy 'oracle': it needs the true mask; use OraclePolicy(truth), or `ibisagent simulate`")
    if policy == "nano" or policy.startswith("hf:"):
        return _local(policy, prompts, local_only)
    if policy.startswith("vllm:"):
        from ibisagent.agent.policies.vllm import open_vllm

        return open_vllm(policy, prompts=prompts, local_only=local_only)
    if policy.partition(":")[0] in _REMOTE:
        from ibisagent.agent.policies.chat import init_chat

        return init_chat(policy, prompts=prompts, local_only=local_only)
    names = [
        *sorted(_SIMPLE),
        "oracle",
        "nano",
        "hf:FOLDER_OR_ID",
        "vllm:URL#MODEL",
        *(f"{provider}:MODEL" for provider in _REMOTE),
    ]
    raise InputError(f"policy {policy!r}: expected one of {', '.join(names)}")


def _local(policy: str, prompts: Any, local_only: bool) -> Policy:
    MissingExtra.require("models", "torch", "transformers")
    from ibisagent.agent.policies.abstention import AbstainingPolicy
    from ibisagent.agent.policies.local import open_named

    model = open_named(policy, prompts=prompts, local_only=local_only)
    return AbstainingPolicy(model, model.targets) if model.targets is not None else model
