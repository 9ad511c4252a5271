"""The proposer of a pointer model: the target that it draws before its first reply, cut along the picture's edges."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.actions import KINDS
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.overlay import prepare_blend
from ibisagent.agent.policies.abstention import parse_request
from ibisagent.agent.policies.abstention.answer_names import canonicalize_request
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.policies.local.policy import LocalPolicy
from ibisagent.agent.proposers.base import Proposal
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import make_read_only
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.tools.segmenters.parameters import Parameters

Field = NDArray[np.float32]

__all__ = ["DrawingProposer"]

# Chosen on phantoms of seeds from 20,000,000 (EXPERIMENTS.md).
_OFFSET = 0.5  # added to the drawn logits: thin drawings are a little too small
_FAINT = 2.0  # a drawing whose highest logit lies below is that of an absent target more often than not
_REACHES = 40  # the cut may move the contour by the longer side divided by it; no less where a drawing is finer
_CUT = GeocutSegmenter(Parameters(weight_colour=1.0))


@dataclass(frozen=True)
class DrawingProposer:
    """Proposes the target as the pointer model of a local ``policy`` draws it in one forward pass.

    Nothing is proposed for a target that the model never learned, for several targets at once, and where the drawing is
    faint, which it is of most targets that are not in the picture. ``score``: the IoU that the mask has on average with
    masks whose pixels are drawn by the drawing's own probabilities. `InputError` for a model that draws nothing.
    """

    policy: LocalPolicy

    def __post_init__(self) -> None:
        """Refuse a model without drawings."""
        if not self.policy.draws:
            got = "got a model that does not draw, expected a pointer model"
            raise InputError(f"proposer {self.name!r}: {got}; name nano, or a folder trained as nano")

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    def propose(self, image: MedicalImage, request: str) -> Proposal:
        """Propose the drawn target, or nothing."""
        if (targets := self.policy.targets) is not None:
            parsed = parse_request(request, targets)
            if parsed.unknown is not None:
                return self._nothing("the model never learned the target")
            if len({mention.target for mention in parsed.known}) > 1:
                return self._nothing("the request names several targets")
            request = canonicalize_request(request, parsed)
        drawn = self.policy.draw_target(_first_look(image, request))
        if drawn.max() < _FAINT:
            return self._nothing("the model sees no such target in the picture")
        embedding = get_memo(_CUT.name).embed(image)
        log_odds = _resize(drawn, embedding.grid.work) + np.float32(_OFFSET)
        mask = _CUT.cut_near_contour(embedding, log_odds, max(embedding.grid.work) / _REACHES)
        if image.padding is not None:
            mask = mask & ~image.padding
        if not mask.any():
            return self._nothing("the drawn target is too small")
        return Proposal(make_read_only(mask), _estimate_iou(log_odds, embedding.grid.coverage(mask) >= 0.5), self.name)

    def _nothing(self, reason: str) -> Proposal:
        return Proposal(None, None, self.name, reason)


def _first_look(image: MedicalImage, request: str) -> Observation:
    """Return what the policy is shown of a picture before anything is marked."""
    height, width = image.shape
    return Observation(
        picture=prepare_blend(image.pixels).picture,
        frame=CoordinateFrame("unit", width, height),
        mask=np.zeros(image.shape, np.bool_),
        image_sha=image.sha,
        request=request,
        kind="segment",
        step=0,
        prompts=(),
        undone=(),
        has_initial_mask=False,
        score=None,
        actions=KINDS,
    )


def _resize(drawn: Field, shape: tuple[int, int]) -> Field:
    """Bring a map to (rows, columns) that cover the same picture, bilinear between the centres of its cells."""
    return np.asarray(Image.fromarray(drawn).resize(shape[::-1], Image.Resampling.BILINEAR), np.float32)


def _estimate_iou(log_odds: Field, mask: NDArray[np.bool_]) -> float:
    probability = 1 / (1 + np.exp(-log_odds.astype(np.float64)))
    both = float(probability[mask].sum())
    return round(both / (float(probability.sum()) + int(mask.sum()) - both), 4) if mask.any() else 0.0
