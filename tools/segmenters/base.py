"""The segmenter contract: a pure function from an embedding, the prompts in force and a prior to a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.clicks import Prompt
from ibisagent.tools.imaging.grids import Mask

Pixels = NDArray[np.uint8]

__all__ = ["Mask", "Pixels", "Prediction", "Query", "Segmenter", "predict_one_by_one", "recorded_name"]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The result of one call of a segmenter.

    ``mask``: (H, W) bool on the grid of the displayed picture, read-only.
    ``score``: the segmenter's own estimate of the IoU in [0, 1], or None when it has none that is meaningful.
    ``prior``: what the next call takes as its prior (SAM family: low-res logits); opaque, never changed in place.
    """

    mask: Mask
    score: float | None
    prior: Any


class Query(NamedTuple):
    """One call of a batch: the arguments of `Segmenter.predict`."""

    embedding: Any
    prompts: Sequence[Prompt]
    prior: Any


@runtime_checkable
class Segmenter(Protocol):
    """A promptable segmenter. Implementations keep no state between calls but caches that cannot be observed.

    ``fingerprint``: name, version, weights hash, dtype, device and thresholds in one line; equal fingerprints, equal
    masks.
    ``calibrated``: True when ``score`` may be used to choose between masks. Optional: ``name``, what
    `ibisagent.tools.segmenters.get_segmenter` calls it, without its weights; ``prompts``, the kinds of prompt that it
    takes, by default ("point", "box") (`ibisagent.tools.segmenters.prompt_kinds`).
    """

    @property
    def fingerprint(self) -> str:
        """One line of text that identifies the segmenter."""

    @property
    def calibrated(self) -> bool:
        """Whether scores are comparable."""

    def embed(self, pixels: Pixels) -> Any:
        """Encode a displayed picture, (H, W) or (H, W, 3) uint8, of any size from 1 x 1 up; once per image."""

    def predict(self, embedding: Any, prompts: Sequence[Prompt], prior: Any) -> Prediction:
        """Segment from all prompts in force, oldest first.

        ``prior``: that of the prediction for ``prompts[:-1]``, or `prior_from_mask` of an initial mask, or None.
        """

    def predict_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """Answer several queries, batched where the model allows it."""

    def prior_from_mask(self, embedding: Any, mask: Mask) -> Any:
        """Convert an initial mask, (H, W) bool, to a prior for the next `predict`."""


def recorded_name(segmenter: Segmenter) -> str:
    """Return what a record calls a segmenter: its attribute ``name``, or its class as ``package.module:Class``."""
    kind = type(segmenter)
    return str(getattr(segmenter, "name", f"{kind.__module__}:{kind.__qualname__}"))


def predict_one_by_one(segmenter: Segmenter, queries: Sequence[Query]) -> list[Prediction]:
    """Answer a batch without batching: the body of ``predict_many`` for a segmenter that gains nothing from it."""
    return [segmenter.predict(*query) for query in queries]
