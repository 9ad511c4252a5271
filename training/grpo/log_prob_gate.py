"""The check that the trainer sees what the policy saw: equal log-probabilities of the sampled tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["LogProbGap", "LogProbGate"]


@dataclass(frozen=True, slots=True)
class LogProbGap:
    """Absolute differences of log-probabilities over the sampled tokens of rows; ``row``: number of the worst one."""

    max: float
    mean: float
    row: int

    @classmethod
    def of(cls, trained: torch.Tensor, sampled: torch.Tensor, mask: torch.Tensor) -> "LogProbGap":
        """Compare the trainer's with the sampled ones, (B, T) each, where ``mask`` is 1."""
        gap = (trained.detach().float() - sampled.float()).abs() * mask
        return cls(gap.max().item(), (gap.sum() / mask.sum().clamp(min=1)).item(), int(gap.amax(dim=1).argmax()))

    def across(self, gaps: "Sequence[LogProbGap]") -> "LogProbGap":
        """Return the largest figures of several processes' gaps, so that all of them stop; the row is one's own."""
        largest = {name: max((getattr(each, name) for each in gaps), key=_nan_last) for name in ("max", "mean")}
        return LogProbGap(**largest, row=self.row)


@dataclass(frozen=True, slots=True)
class LogProbGate:
    """Bounds of a gap; 0 for none.

    With the same weights in float32 it is about 5e-6. Another turn's picture makes it 3.5, a blank one .3 in the mean,
    wrong positions .1: the loss would still fall.
    """

    max: float = 1e-3
    mean: float = 1e-3

    def why_closed(self, gap: LogProbGap) -> str | None:
        """Return why rows may not be trained on, None if they may."""
        for name in ("max", "mean"):
            bound, found = getattr(self, name), getattr(gap, name)
            if bound and not found <= bound:  # a NaN closes it
                got = f"got log-probabilities that differ from the sampled ones by {found:.2g} ({name})"
                return f"{got}, expected at most {bound:g}: the trainer does not see what the policy saw"
        return None


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value
