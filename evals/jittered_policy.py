"""A policy whose clicks land beside where it means them to."""

from dataclasses import replace
from typing import Any

import numpy as np

from ibisagent.agent import Policy
from ibisagent.agent.actions import write_reply
from ibisagent.agent.policies.base import Completion, Observation
from ibisagent.agent.reply_parser import parse_completion
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.perturbations.click_jitter import ClickJitter, jitter_prompt

__all__ = ["JitteredPolicy"]


class JitteredPolicy:
    """Another policy, each of whose prompts is moved (`jitter_prompt`), drawn from the seed, the picture and the step.

    The record holds the moved prompt in the reply, as if the policy had written it; every other reply passes unchanged.
    """

    def __init__(self, policy: Policy, jitter: ClickJitter, seed: int = 0) -> None:
        """Take the policy, how far its prompts are moved, and the seed."""
        self._policy, self._jitter, self._seed = policy, jitter, seed

    @property
    def name(self) -> str:
        """The policy's own name."""
        return self._policy.name

    def __getattr__(self, attribute: str) -> Any:
        """Return what else the policy says of itself: its proposer, coordinates, weights."""
        if attribute.startswith("_"):  # while a copy is being unpickled there is no policy yet
            raise AttributeError(attribute)
        return getattr(self._policy, attribute)

    def act(self, observation: Observation) -> Completion:
        """Reply as the policy does, the prompt moved."""
        return self._moved(self._policy.act(observation), observation)

    async def aact(self, observation: Observation) -> Completion:
        """Reply as the policy does, the prompt moved."""
        return self._moved(await self._policy.aact(observation), observation)

    def _moved(self, completion: Completion, observation: Observation) -> Completion:
        record = {"text": completion.text, "finish_reason": completion.finish_reason}
        reply = parse_completion(record, frame=observation.frame, allow=observation.actions)
        if not isinstance(reply.action, Prompt):
            return completion
        rng = np.random.default_rng(case_seed(self._seed, f"jitter of {observation.image_sha} {observation.step}"))
        moved = jitter_prompt(reply.action, observation.mask.shape, self._jitter, rng)
        text = write_reply(reply.thought, moved, None, observation.frame)
        return replace(completion, text=text, finish_reason="stop", token_ids=None, logprobs=None)
