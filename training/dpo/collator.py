"""Batches of pairs: the preferred replies and then the rejected ones, each behind its own state's pictures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ibisagent.agent.policies.local import QwenInputs
from ibisagent.training.samples import Sample, Samples
from ibisagent.training.tokenized_samples import IGNORED, pad_samples, tokenize_sample

__all__ = ["PairCollator"]


class PairCollator:
    """Makes batches as TRL's DPO loss takes them, from rows with the key ``pair``, a sample's number."""

    def __init__(self, samples: Samples, inputs: QwenInputs) -> None:
        """Take samples that each have a rejected reply."""
        self._samples, self._inputs = samples, inputs

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Render, encode and pad."""
        chosen = [self._samples[row["pair"]] for row in rows]
        several = [tokenize_sample(each, self._inputs) for each in (*chosen, *map(_to_rejected, chosen))]
        batch = pad_samples(several, self._inputs)
        return batch | {"completion_mask": (batch.pop("labels") != IGNORED).long()}


def _to_rejected(sample: Sample) -> Sample:
    assert sample.rejected is not None
    return replace(sample, reply=sample.rejected)
