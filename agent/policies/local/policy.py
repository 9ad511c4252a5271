"""A policy over a vision-language model that runs in this process."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import torch

from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.policies.local.inputs import Inputs
from ibisagent.agent.prompting import PromptSet, load_prompts

__all__ = ["LONGEST", "LocalPolicy"]

LONGEST = 512
"""Tokens of a reply."""

# In place of what a checkpoint's own file says of lengths and, where they would not be heeded, of draws.
_GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "max_length": None}
_PLAIN = {"do_sample": True, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_length": None}


class LocalPolicy(SyncPolicy):
    """Replies by greedy decoding, or at a ``temperature``; one call of the model serves any number of observations."""

    def __init__(
        self,
        model: Any,
        inputs: Inputs,
        *,
        prompts: PromptSet | None = None,
        name: str = "hf",
        temperature: float = 0.0,
        longest: int = LONGEST,
    ) -> None:
        """Take a transformers model with ``generate``, its inputs, and the words that it expects in place of ours."""
        self.model, self.inputs, self.name = model.eval(), inputs, name
        self._prompts = prompts or load_prompts()
        self._decoding = _PLAIN | {"temperature": temperature} if temperature > 0 else _GREEDY
        self._longest = longest
        self._one = threading.Lock()  # the model keeps the positions of its last call

    def act(self, observation: Observation) -> Completion:
        """Reply to one observation."""
        return self.act_many([observation])[0]

    def act_many(self, observations: Sequence[Observation]) -> list[Completion]:
        """Reply to several observations in one call."""
        begun = time.perf_counter()
        encoded = [self.inputs.encode(self._prompts.conversation(each)) for each in observations]
        batch = self.inputs.batch(encoded).items()
        with self._one, torch.inference_mode():
            moved = {name: value.to(self.model.device) for name, value in batch}
            out = self.model.generate(**moved, max_new_tokens=self._longest, **self._decoding)
        replies = out[:, moved["input_ids"].shape[1] :].tolist()
        seconds = (time.perf_counter() - begun) / len(observations)
        return [self._completion(each.ids, reply, seconds) for each, reply in zip(encoded, replies, strict=True)]

    def _completion(self, prompt: list[int], reply: list[int], seconds: float) -> Completion:
        tokenizer = self.inputs.tokenizer
        ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
        length = next((index for index, token in enumerate(reply) if token in ends), None)
        said = reply[:length]
        text = tokenizer.decode(said, skip_special_tokens=True)
        usage = {"input_tokens": len(prompt), "output_tokens": len(said)}
        return Completion(text, "stop" if length is not None else "length", usage, seconds, self.name)
