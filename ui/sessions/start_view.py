"""The mask that a request begins with, as a page shows it before the first step."""

from ibisagent.agent.state import ProposalRecord
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import Rle, area, decode
from ibisagent.ui.sessions.snapshots import StartView

__all__ = ["compare", "compute_area_mm2", "view_start"]


def view_start(
    proposal: ProposalRecord | None, initial: Rle | None, spacing: Spacing | None, truth: Rle | None
) -> StartView | None:
    """Return what a request began with, None for no mask of which nothing is to be said.

    ``initial``: the mask that was proposed, or that came with the request; None for neither, and for a request that
    goes on from the mask in force.
    """
    if proposal is None or proposal["outcome"] == "preceded":
        proposal = None
        if initial is None:
            return None
    return StartView(
        by=proposal["by"] if proposal else None,
        reason=_describe_reason(proposal) if proposal else None,
        score=proposal["score"] if proposal else None,
        seconds=proposal["seconds"] if proposal else 0.0,
        mask=initial,
        area_px=area(initial) if initial else 0,
        area_mm2=compute_area_mm2(area(initial), spacing) if initial else None,
        iou=compare(initial, truth) if initial else None,
    )


def _describe_reason(proposal: ProposalRecord) -> str | None:
    """Return why nothing was proposed; what a proposer broke by is the operator's to read, in the record."""
    return (
        "the proposer failed, and the run goes on without it" if proposal["outcome"] == "failed" else proposal["reason"]
    )


def compute_area_mm2(area_px: int, spacing: Spacing | None) -> float | None:
    """Return an area in mm², None without spacing."""
    return area_px * spacing.row * spacing.column if spacing else None


def compare(mask: Rle, truth: Rle | None) -> float | None:
    """Return the IoU of a mask with the true one, None without one of its size."""
    if truth is None or list(truth["size"]) != list(mask["size"]):
        return None
    return float(iou(decode(mask), decode(truth)))
