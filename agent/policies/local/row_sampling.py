"""Drawing of tokens, each row of a batch by a generator of its own: what a row draws depends on nothing beside it."""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from ibisagent.agent.policies.base import Observation

__all__ = ["NEAR_TIE", "RowSampler", "row_generator"]

NEAR_TIE = {torch.float32: 1e-3}
"""By the model's dtype the margin below which a choice may depend on the batch; logits of a row differ by 1e-5 in it.

In 16 bits they differ by more than any margin that leaves batches worth while.
"""


def row_generator(seed: int, observation: Observation) -> np.random.Generator:
    """Return the generator of a reply: that of the policy's seed, the episode's seed, the step, picture and request."""
    drawn_by = [seed, observation.seed, observation.step, observation.image_sha, observation.request]
    key = int.from_bytes(hashlib.sha256(repr(drawn_by).encode("utf-8", "backslashreplace")).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key))


class RowSampler(LogitsProcessor):
    """Adds noise to logits so that their largest is a draw at ``temperature`` (Gumbel-max): decode greedily with it.

    A row's noise at a position comes from the row's generator, in its order. Batching changes logits by rounding
    errors, so ``near_ties``, (B,) bool, marks rows in which the two largest came closer than ``margin``: only those
    could end otherwise in another batch.
    """

    def __init__(
        self,
        generators: Sequence[np.random.Generator],
        temperature: float,
        end_ids: Collection[int | None],
        margin: float,
    ) -> None:
        """Take a generator for each row; ``temperature`` 0: no noise; ``end_ids``: a row is over after one of them."""
        self._generators, self._temperature, self._margin = generators, temperature, margin
        self._end_ids = sorted(each for each in end_ids if each is not None)
        self._over: torch.Tensor | None = None
        self.near_ties: Any = torch.zeros(len(generators), dtype=torch.bool)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return noisy logits, (B, vocabulary); ``input_ids``: (B, L), the prompt and the tokens drawn so far."""
        scores = scores.float()
        if self._temperature > 0:
            noise = np.stack([each.standard_exponential(scores.shape[1], np.float32) for each in self._generators])
            scores = scores / self._temperature - torch.from_numpy(noise).to(scores.device).log()
        if self._over is None:
            self._over = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
            self.near_ties = self.near_ties.to(scores.device)
        else:
            self._over |= torch.isin(input_ids[:, -1], torch.tensor(self._end_ids, device=scores.device))
        largest = scores.topk(2, dim=1).values
        self.near_ties |= ~self._over & (largest[:, 0] - largest[:, 1] < self._margin)
        return scores
