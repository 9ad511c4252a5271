"""The proposal of a request: the proposer's mask, checked, or the reason why the run goes on without one."""

import time
from typing import Any

import numpy as np

from ibisagent.agent.graph_components import Components
from ibisagent.agent.proposers.base import Proposal
from ibisagent.agent.state import ProposalRecord, State
from ibisagent.agent.timeouts import call_with_timeout
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import Rle, encode

__all__ = ["propose"]


def propose(
    state: State, image: MedicalImage, has_own: bool, components: Components, cancel: Any
) -> tuple[ProposalRecord | None, Rle | None]:
    """Ask the proposer for an initial mask; no fault of it ends the run.

    ``has_own``: the request came with a mask or prompts, which take precedence. Returns None without a proposer, and on
    a question, which may need no mask.
    """
    proposer = components.proposer
    if proposer is None or state["kind"] == "question":
        return None, None
    if has_own:
        reason = "the request came with a mask or prompts, which take precedence"
        return ProposalRecord(by=proposer.name, outcome="preceded", reason=reason, score=None, seconds=0.0), None
    record = ProposalRecord(by=proposer.name, outcome="nothing", reason=None, score=None, seconds=0.0)
    begun, request = time.perf_counter(), str(state["request"])
    try:
        proposal = call_with_timeout(lambda _: proposer.propose(image, request), None, _patience(components), cancel)
        mask = _usable_mask(proposal, image)
    except Exception as error:
        reason = describe_error(error) or type(error).__name__
        return record | {"outcome": "failed", "reason": reason, "seconds": time.perf_counter() - begun}, None
    seconds = time.perf_counter() - begun
    if mask is None:
        return record | {"reason": proposal.reason or "it proposed no mask", "seconds": seconds}, None
    score = float(proposal.score) if proposal.score is not None else None
    return record | {"outcome": "proposed", "score": score, "seconds": seconds}, encode(mask)


def _patience(components: Components) -> float | None:
    limits = (components.reply_timeout, components.config.max_seconds)
    return min((limit for limit in limits if limit is not None), default=None)


def _usable_mask(proposal: Proposal, image: MedicalImage) -> Mask | None:
    """Return a proposal's mask without the padding, None where there is none; `InputError` for one of no use."""
    if proposal.mask is None:
        return None
    mask = np.asarray(proposal.mask)
    if mask.shape != image.shape or mask.dtype != np.bool_:
        got = f"got a mask of shape {mask.shape} and type {mask.dtype}"
        raise InputError(f"{got}, expected {image.shape} and bool, the displayed picture's grid")
    if mask.all():
        raise InputError("got a mask of the whole picture, expected a part of it")
    if image.padding is not None:
        mask = mask & ~image.padding
    if not mask.any():
        raise InputError("got an empty mask, expected one with pixels inside, or None")
    return mask
