"""The interface of every network of the family, whichever package it comes from."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ibisagent.tools.segmenters.sam.frame import DecoderPrompt, Field

FeatureMaps = tuple[torch.Tensor, ...]

__all__ = ["DecoderBatch", "FeatureMaps", "MaskLogits", "SamNetwork", "collate_prompts", "stack_features"]


class DecoderBatch(NamedTuple):
    """Queries of one kind, n of them, in input pixels.

    ``points``: (n, k, 2) float32, ``labels``: (n, k) int32, ``boxes``: (n, 4), ``logits``: (n, 1, side / 4, side / 4).
    """

    points: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor | None
    logits: torch.Tensor | None
    multimask: bool


class MaskLogits(NamedTuple):
    """Low-resolution logits (n, m, side / 4, side / 4) and predicted IoU (n, m); m = 3 for ``multimask``, else 1."""

    logits: torch.Tensor
    scores: torch.Tensor


class SamNetwork(Protocol):
    """An image encoder and a mask decoder. ``bound``: logits that are handed on as a prior are clamped to it."""

    @property
    def side(self) -> int:
        """The side of the square input in pixels."""

    @property
    def bound(self) -> float:
        """The largest magnitude of a prior's logits."""

    def to(self, device: torch.device) -> "SamNetwork":
        """Move the weights."""

    def encode(self, pixels: torch.Tensor) -> FeatureMaps:
        """Encode prepared pictures, (n, 3, side, side); each feature map is (n, c, h, w)."""

    def decode(self, features: FeatureMaps, batch: DecoderBatch) -> MaskLogits:
        """Decode n queries about n pictures."""


def collate_prompts(prompts: Sequence[DecoderPrompt], device: torch.device) -> DecoderBatch:
    """Stack queries of one kind."""
    return DecoderBatch(
        points=torch.from_numpy(np.stack([prompt.points for prompt in prompts])).to(device),
        labels=torch.from_numpy(np.stack([prompt.labels for prompt in prompts])).to(device),
        boxes=_stack([prompt.box for prompt in prompts], device),
        logits=_stack([None if prompt.logits is None else prompt.logits[None] for prompt in prompts], device),
        multimask=prompts[0].multimask,
    )


def _stack(arrays: Sequence[Field | None], device: torch.device) -> torch.Tensor | None:
    """Stack arrays that are all there, or none of them."""
    given = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(given)).to(device) if given else None


def stack_features(features: Sequence[FeatureMaps]) -> FeatureMaps:
    """Stack the feature maps of several pictures; those of one picture that occurs several times are not copied."""
    if all(some is features[0] for some in features):
        return tuple(level.expand(len(features), -1, -1, -1) for level in features[0])
    return tuple(torch.cat(levels) for levels in zip(*features, strict=True))
