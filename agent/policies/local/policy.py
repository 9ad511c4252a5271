"""A policy over a vision-language model that runs in this process."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import torch

from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.abstention.known_targets import KnownTargets
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.policies.local.processor_inputs import ProcessorInputs
from ibisagent.agent.policies.local.qwen_inputs import QwenInputs
from ibisagent.agent.prompting import PromptSet, load_prompts
from ibisagent.tools.call_batcher import CallBatcher

__all__ = ["MAX_TOKENS", "LocalPolicy"]

MAX_TOKENS = 512
"""Tokens of a reply."""

# In place of a checkpoint's own generation settings of lengths and sampling.
_GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "max_length": None}
_SAMPLING = {"do_sample": True, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_length": None}
_WITH_LOGITS = {"return_dict_in_generate": True, "output_logits": True}


class LocalPolicy(SyncPolicy):
    """Replies by greedy decoding, or at a ``temperature``; one call of the model serves any number of observations."""

    def __init__(
        self,
        model: Any,
        inputs: QwenInputs | ProcessorInputs,
        *,
        prompts: PromptSet | None = None,
        name: str = "hf",
        temperature: float = 0.0,
        max_tokens: int = MAX_TOKENS,
        coordinates: str = "unit",
        logprobs: bool = False,
        targets: KnownTargets | None = None,
    ) -> None:
        """Take a transformers model with ``generate``, its inputs, and the prompts that it expects, by default ours.

        ``coordinates``: how it writes them; with ``logprobs`` completions hold the sampled tokens, the end of the turn
        included, and their log-probabilities at the ``temperature`` (greedy: at 1). ``targets``: those that it learned,
        if known; replies do not depend on them. ``max_tokens``: of a reply.
        """
        self.model, self.inputs, self.name = model.eval(), inputs, name
        self.targets = targets
        self.coordinates, self._output_options = coordinates, _WITH_LOGITS if logprobs else {}
        self._batcher = CallBatcher(self.act_many)
        self._prompts = prompts or load_prompts()
        self.actions = self._prompts.kinds
        self._decoding = _SAMPLING | {"temperature": temperature} if temperature > 0 else _GREEDY
        self._max_tokens = max_tokens
        eos = model.generation_config.eos_token_id
        self._end_ids = {inputs.tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
        self._model_lock = threading.Lock()  # the model holds the positions of its last call

    @property
    def smart_resize(self) -> SmartResize:
        """The sizes at which the model sees its pictures."""
        return self.inputs.smart_resize

    def act(self, observation: Observation) -> Completion:
        """Reply to one observation, in one call of the model with the concurrent observations of other threads."""
        return self._batcher(observation)

    def act_many(self, observations: Sequence[Observation]) -> list[Completion]:
        """Reply to several observations in one call."""
        begun = time.perf_counter()
        inputs: Any = self.inputs  # whatever a kind of inputs encodes, it can batch
        encoded = [inputs.encode(self._prompts.conversation(each)) for each in observations]
        batch = inputs.batch(encoded).items()
        with self._model_lock, torch.inference_mode():
            moved = {name: self._to_device(value) for name, value in batch}
            out = self.model.generate(
                **moved, max_new_tokens=self._max_tokens, **self._decoding, **self._output_options
            )
        sequences, logits = (out.sequences, out.logits) if self._output_options else (out, None)
        replies = sequences[:, moved["input_ids"].shape[1] :]
        logprobs = self._compute_logprobs(logits, replies) if logits is not None else [None] * len(encoded)
        seconds = (time.perf_counter() - begun) / len(observations)
        lengths = moved["attention_mask"].sum(dim=1).tolist()
        each = zip(lengths, replies.tolist(), logprobs, strict=True)
        return [self._completion(length, reply, each_logprobs, seconds) for length, reply, each_logprobs in each]

    def _to_device(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)

    def _compute_logprobs(self, logits: Sequence[torch.Tensor], replies: torch.Tensor) -> list[list[float]]:
        """Return the log-probability of each token of each reply; ``logits``: (B, vocabulary) for each position."""
        temperature = self._decoding["temperature"] or 1.0
        each = torch.stack([torch.log_softmax(step.float() / temperature, dim=1) for step in logits], dim=1)
        logprobs: list[list[float]] = each.gather(2, replies[:, :, None])[:, :, 0].tolist()
        return logprobs

    def _completion(self, prompt: int, reply: list[int], logprobs: list[float] | None, seconds: float) -> Completion:
        length = next((index for index, token in enumerate(reply) if token in self._end_ids), None)
        tokens = reply[:length]
        text = self.inputs.tokenizer.decode(tokens, skip_special_tokens=True)
        usage = {"input_tokens": prompt, "output_tokens": len(tokens)}
        finish = "stop" if length is not None else "length"
        if logprobs is None:
            return Completion(text, finish, usage, seconds, self.name)
        sampled = len(tokens) + (length is not None)
        return Completion(
            text, finish, usage, seconds, self.name, token_ids=reply[:sampled], logprobs=logprobs[:sampled]
        )
