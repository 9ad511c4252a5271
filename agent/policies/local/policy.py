"""A policy over a vision-language model that runs in this process."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import torch

from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.abstention.known_targets import Targets
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.policies.local.batching import Batcher
from ibisagent.agent.policies.local.processor_inputs import ProcessorInputs
from ibisagent.agent.policies.local.qwen_inputs import Inputs
from ibisagent.agent.prompting import PromptSet, load_prompts

__all__ = ["LONGEST", "LocalPolicy"]

LONGEST = 512
"""Tokens of a reply."""

# In place of what a checkpoint's own file says of lengths and, where they would not be heeded, of draws.
_GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "max_length": None}
_PLAIN = {"do_sample": True, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_length": None}
_TOLD = {"return_dict_in_generate": True, "output_logits": True}


class LocalPolicy(SyncPolicy):
    """Replies by greedy decoding, or at a ``temperature``; one call of the model serves any number of observations."""

    def __init__(
        self,
        model: Any,
        inputs: Inputs | ProcessorInputs,
        *,
        prompts: PromptSet | None = None,
        name: str = "hf",
        temperature: float = 0.0,
        longest: int = LONGEST,
        coordinates: str = "unit",
        logprobs: bool = False,
        targets: Targets | None = None,
    ) -> None:
        """Take a transformers model with ``generate``, its inputs, and the words that it expects in place of ours.

        ``coordinates``: how it writes them; with ``logprobs`` completions hold the tokens drawn, the end of the turn
        included, and the logarithms of the probabilities that they were drawn with (greedily: those of the model).
        ``targets``: what it learned to see, where that is known; replies do not depend on it.
        """
        self.model, self.inputs, self.name = model.eval(), inputs, name
        self.targets = targets
        self.coordinates, self._told = coordinates, _TOLD if logprobs else {}
        self._together = Batcher(self.act_many)
        self._prompts = prompts or load_prompts()
        self.actions = self._prompts.kinds
        self._decoding = _PLAIN | {"temperature": temperature} if temperature > 0 else _GREEDY
        self._longest = longest
        told = model.generation_config.eos_token_id
        self._ends = {inputs.tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])}
        self._one = threading.Lock()  # the model keeps the positions of its last call

    @property
    def resizing(self) -> SmartResize:
        """Tell the sizes at which the model sees its pictures."""
        return self.inputs.resizing

    def act(self, observation: Observation) -> Completion:
        """Reply to one observation, in one call of the model with those that other threads ask about meanwhile."""
        return self._together(observation)

    def act_many(self, observations: Sequence[Observation]) -> list[Completion]:
        """Reply to several observations in one call."""
        begun = time.perf_counter()
        inputs: Any = self.inputs  # whatever a kind of inputs encodes, it can batch
        encoded = [inputs.encode(self._prompts.conversation(each)) for each in observations]
        batch = inputs.batch(encoded).items()
        with self._one, torch.inference_mode():
            moved = {name: self._moved(value) for name, value in batch}
            out = self.model.generate(**moved, max_new_tokens=self._longest, **self._decoding, **self._told)
        sequences, logits = (out.sequences, out.logits) if self._told else (out, None)
        replies = sequences[:, moved["input_ids"].shape[1] :]
        chances = self._chances(logits, replies) if logits is not None else [None] * len(encoded)
        seconds = (time.perf_counter() - begun) / len(observations)
        lengths = moved["attention_mask"].sum(dim=1).tolist()
        each = zip(lengths, replies.tolist(), chances, strict=True)
        return [self._completion(length, reply, chance, seconds) for length, reply, chance in each]

    def _moved(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)

    def _chances(self, logits: Sequence[torch.Tensor], replies: torch.Tensor) -> list[list[float]]:
        """Give the log-probability of each token of each reply; ``logits``: (B, vocabulary) for each place."""
        heat = self._decoding["temperature"] or 1.0
        each = torch.stack([torch.log_softmax(step.float() / heat, dim=1) for step in logits], dim=1)
        chances: list[list[float]] = each.gather(2, replies[:, :, None])[:, :, 0].tolist()
        return chances

    def _completion(self, prompt: int, reply: list[int], chances: list[float] | None, seconds: float) -> Completion:
        length = next((index for index, token in enumerate(reply) if token in self._ends), None)
        said = reply[:length]
        text = self.inputs.tokenizer.decode(said, skip_special_tokens=True)
        usage = {"input_tokens": prompt, "output_tokens": len(said)}
        finish = "stop" if length is not None else "length"
        if chances is None:
            return Completion(text, finish, usage, seconds, self.name)
        drawn = len(said) + (length is not None)
        return Completion(text, finish, usage, seconds, self.name, token_ids=reply[:drawn], logprobs=chances[:drawn])
