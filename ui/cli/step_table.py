"""The steps of a run as a table, as they happen and as they were recorded."""

from dataclasses import asdict
from typing import cast

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ibisagent.agent.actions import format_action, from_plain
from ibisagent.agent.state import ProposalRecord, StepRecord
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.tools.masks.rle import Rle, area
from ibisagent.ui.cli.trajectory_files import to_printable_line

__all__ = ["build_step_table", "empty_table", "proposal_row", "step_row"]


def build_step_table(record: Trajectory) -> Table:
    """Return a table with a row for each step, and a column for the IoU where the true mask is known."""
    fit = trajectory_metrics(record).fit
    table = empty_table(fit is not None)
    if record.target.proposal is not None:
        table.add_row(*proposal_row(record.target.proposal, record.start, fit.start_iou if fit else None))
    for index, step in enumerate(record.steps):
        record_fields = cast(StepRecord, asdict(step))
        table.add_row(*step_row(record_fields, step.thought, step.mask, fit.ious[index] if fit else None))
    return table


def empty_table(with_iou: bool) -> Table:
    """Return a table without rows, with a column for the IoU if ``with_iou``."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("action")
    table.add_column("thought", style="italic", min_width=20)
    for head in ("score", *(("IoU",) if with_iou else ()), "area px", "s"):
        table.add_column(head, justify="right")
    return table


def step_row(step: StepRecord, thought: str, mask: Rle, iou: float | None) -> list[str]:
    """Return a step's cells; ``mask``: in force after it, ``iou``: None leaves its cell out."""
    score = "" if step["score"] is None else f"{step['score']:.2f}"
    known = [] if iou is None else [f"{iou:.3f}"]
    figures = (score, *known, f"{area(mask):,}", f"{sum(step['seconds'].values()):.2f}")
    return [str(step["index"]), escape(_action(step)), escape(to_printable_line(thought)), *figures]


def proposal_row(proposal: ProposalRecord, mask: Rle, iou: float | None) -> list[str]:
    """Return the cells of a row before the first step; ``mask``: what the run began with, ``iou`` as of `step_row`."""
    proposed = proposal["outcome"] == "proposed"
    score = "" if proposal["score"] is None else f"{proposal['score']:.2f}"
    known = [] if iou is None else [f"{iou:.3f}"]
    said = f"{'proposed' if proposed else 'no proposal'} by {proposal['by']}"
    words = [escape(to_printable_line(text)) for text in (said, proposal["reason"] or "")]
    return ["0", *words, score, *known, f"{area(mask):,}", f"{proposal['seconds']:.2f}"]


def _action(step: StepRecord) -> str:
    """Return a step's action, its actor unless it is the policy, and its error as text."""
    notes = [format_action(from_plain(step["action"])) if step["action"] else "unreadable"]
    notes += [f"by {step['actor']}"] if step["actor"] != "policy" else []
    notes += [step["error"]] if step["error"] else []
    for word, moved in (("undoes", step["reverts"]), ("brings back", step["restores"])):
        notes += [f"{word} {moved or 'the initial mask'}"] if moved is not None else []
    return to_printable_line("; ".join(notes))
