"""The contract of a proposer."""

from typing import NamedTuple, Protocol

from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage

__all__ = ["Proposal", "Proposer"]


class Proposal(NamedTuple):
    """What a proposer offers as the initial mask of a run.

    ``mask``: (H, W) bool on the grid of the displayed picture, None where nothing is proposed; then ``reason`` is one
    line that says why. ``score``: an estimate of the mask's IoU in [0, 1], not calibrated unless the proposer says so;
    None if unknown. ``by``: the proposer's name.
    """

    mask: Mask | None
    score: float | None
    by: str
    reason: str | None = None


class Proposer(Protocol):
    """Anything that turns a picture and a request into a mask without clicks."""

    @property
    def name(self) -> str:
        """The proposer's name, the author of its proposals."""

    def propose(self, image: MedicalImage, request: str) -> Proposal:
        """Propose a mask; an exception leaves the run without a proposal."""
