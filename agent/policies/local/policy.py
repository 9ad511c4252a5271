"""A policy over a vision-language model that runs in this process."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessorList, SuppressTokensLogitsProcessor

from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.abstention.known_targets import KnownTargets
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.policies.local.processor_inputs import ProcessorInputs
from ibisagent.agent.policies.local.qwen_inputs import QwenInputs
from ibisagent.agent.policies.local.row_sampling import NEAR_TIE, RowSampler, row_generator
from ibisagent.agent.prompting import PromptSet, load_prompts
from ibisagent.tools.call_batcher import CallBatcher
from ibisagent.tools.files import hash_files

__all__ = ["MAX_TOKENS", "LocalPolicy"]

MAX_TOKENS = 512
"""Tokens of a reply."""

# In place of a checkpoint's own generation settings of lengths and sampling; draws are made by `RowSampler`.
_GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "max_length": None}
_SAMPLING = _GREEDY | {"repetition_penalty": 1.0}
_WITH_LOGITS = {"return_dict_in_generate": True, "output_logits": True}


class LocalPolicy(SyncPolicy):
    """Replies by greedy decoding, or at a ``temperature``; one call of the model serves any number of observations.

    A reply does not depend on the observations beside it: at a temperature each is drawn by a generator of its own
    (`row_sampling.row_generator`), and in float32 one that a rounding error could change is made again alone.
    """

    def __init__(
        self,
        model: Any,
        inputs: QwenInputs | ProcessorInputs,
        *,
        prompts: PromptSet | None = None,
        name: str = "hf",
        temperature: float = 0.0,
        seed: int = 0,
        max_tokens: int = MAX_TOKENS,
        coordinates: str = "unit",
        logprobs: bool = False,
        targets: KnownTargets | None = None,
        weights: Sequence[Path] = (),
        suppressed_ids: Sequence[int] = (),
    ) -> None:
        """Take a transformers model with ``generate``, its inputs, and the prompts that it expects, by default ours.

        ``seed``: of draws, beside that of the run. ``coordinates``: how it writes them; with ``logprobs`` completions
        hold the sampled tokens, the end of the turn included, and their log-probabilities at the ``temperature``
        (greedy: at 1). ``targets``: those that it learned, if known; replies do not depend on them. ``max_tokens``: of
        a reply. ``weights``: the files that the model was read from. ``suppressed_ids``: tokens that are never drawn;
        log-probabilities are without the suppression.
        """
        self.model, self.inputs, self.name = model.eval(), inputs, name
        self.targets, self._weights = targets, tuple(weights)
        self.coordinates, self._output_options = coordinates, _WITH_LOGITS if logprobs else {}
        self._batcher = CallBatcher(self.act_many)
        self._prompts = prompts or load_prompts()
        self._suppressed = [SuppressTokensLogitsProcessor(list(suppressed_ids))] if suppressed_ids else []
        self.actions = self._prompts.kinds
        self._temperature, self._seed, self._max_tokens = temperature, seed, max_tokens
        eos = model.generation_config.eos_token_id
        self._end_ids = {inputs.tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
        self._model_lock = threading.Lock()  # the model holds the positions of its last call

    @property
    def sampling(self) -> dict[str, Any]:
        """The settings of draws and lengths, for the record."""
        return {"temperature": self._temperature, "seed": self._seed, "max_tokens": self._max_tokens}

    @cached_property
    def weights_hash(self) -> str | None:
        """The first 16 hex digits of the SHA-256 of the weights' files; None where they are not known.

        Computed at first use, at about a gigabyte a second: a small model's in no time, half a minute for 15 GB.
        """
        return hash_files(self._weights)[:16] if self._weights else None

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
        encoded = [self.inputs.encode(self._prompts.conversation(each)) for each in observations]
        with self._model_lock, torch.inference_mode():
            completions, near_ties = self._generate(observations, encoded)
            for number in near_ties if len(encoded) > 1 else ():
                (completions[number],), _ = self._generate([observations[number]], [encoded[number]])
        seconds = (time.perf_counter() - begun) / len(observations)
        return [replace(each, seconds=seconds) for each in completions]

    @property
    def draws(self) -> bool:
        """Whether `draw_target` can be called: the model is a pointer model."""
        return hasattr(self.model, "predict_target")

    def draw_target(self, observation: Observation) -> NDArray[np.float32]:
        """Draw what a pointer model takes for the target before it replies, (h, w) logits, in one forward pass.

        The map covers the whole picture, its rows and columns in equal parts whatever the picture's aspect ratio.
        """
        inputs: Any = self.inputs
        encoded = inputs.encode(self._prompts.conversation(observation))
        given = {name: self._to_device(value) for name, value in inputs.batch([encoded]).items()}
        with self._model_lock, torch.inference_mode():
            drawn = self.model.predict_target(**given)[0]
        return np.asarray(drawn.float().cpu().numpy(), np.float32)

    def _generate(
        self, observations: Sequence[Observation], encoded: Sequence[Any]
    ) -> tuple[list[Completion], list[int]]:
        """Reply in one call of the model; the second value: the rows whose replies a rounding error could change."""
        inputs: Any = self.inputs  # whatever a kind of inputs encodes, it can batch
        given = {name: self._to_device(value) for name, value in inputs.batch(encoded).items()}
        generators = [row_generator(self._seed, each) for each in observations]
        margin = NEAR_TIE.get(self.model.dtype, 0.0)
        sampler = RowSampler(generators, self._temperature, self._end_ids, margin)
        options = _SAMPLING if self._temperature > 0 else _GREEDY
        out = self.model.generate(
            **given,
            max_new_tokens=self._max_tokens,
            logits_processor=LogitsProcessorList([*self._suppressed, sampler]),
            **options,
            **self._output_options,
        )
        sequences, logits = (out.sequences, out.logits) if self._output_options else (out, None)
        replies = sequences[:, given["input_ids"].shape[1] :]
        logprobs = self._compute_logprobs(logits, replies) if logits is not None else [None] * len(encoded)
        lengths = given["attention_mask"].sum(dim=1).tolist()
        each = zip(lengths, replies.tolist(), logprobs, strict=True)
        return [self._completion(*row) for row in each], sampler.near_ties.nonzero()[:, 0].tolist()

    def _to_device(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)

    def _compute_logprobs(self, logits: Sequence[torch.Tensor], replies: torch.Tensor) -> list[list[float]]:
        """Return the log-probability of each token of each reply; ``logits``: (B, vocabulary) for each position."""
        temperature = self._temperature or 1.0
        chosen = [  # position by position: all of them at once are gigabytes where the vocabulary is large
            torch.log_softmax(step.float() / temperature, dim=1).gather(1, replies[:, [position]])
            for position, step in enumerate(logits)
        ]
        logprobs: list[list[float]] = torch.cat(chosen, dim=1).tolist()
        return logprobs

    def _completion(self, prompt: int, reply: list[int], logprobs: list[float] | None) -> Completion:
        length = next((index for index, token in enumerate(reply) if token in self._end_ids), None)
        tokens = reply[:length]
        text = self.inputs.tokenizer.decode(tokens, skip_special_tokens=True)
        usage = {"input_tokens": prompt, "output_tokens": len(tokens)}
        finish = "stop" if length is not None else "length"
        if logprobs is None:
            return Completion(text, finish, usage, model=self.name)
        sampled = len(tokens) + (length is not None)
        return Completion(text, finish, usage, model=self.name, token_ids=reply[:sampled], logprobs=logprobs[:sampled])
