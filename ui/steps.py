"""The steps of a recorded run as a table."""

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ibisagent.agent.actions import from_plain, spell
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.evals.trajectories import journey
from ibisagent.tools.masks import area
from ibisagent.ui.records import plain

__all__ = ["steps_table"]


def steps_table(record: Trajectory) -> Table:
    """Give a row for each step; a column for the IoU where the true mask is known."""
    fit = journey(record).fit
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("action")
    table.add_column("thought", style="italic", min_width=20)
    for head in ("score", *(("IoU",) if fit else ()), "area px", "s"):
        table.add_column(head, justify="right")
    for index, step in enumerate(record.steps):
        said = escape(_action(step)), escape(plain(step.thought))
        score = "" if step.score is None else f"{step.score:.2f}"
        known = [f"{fit.ious[index]:.3f}"] if fit else []
        table.add_row(str(step.n), *said, score, *known, f"{area(step.mask):,}", f"{sum(step.seconds.values()):.2f}")
    return table


def _action(step: Step) -> str:
    """Spell what a step did, by whom unless by the policy, and what went wrong."""
    notes = [spell(from_plain(step.action)) if step.action else "unreadable"]
    notes += [f"by {step.by}"] if step.by != "policy" else []
    notes += [step.error] if step.error else []
    for word, moved in (("undoes", step.reverts), ("brings back", step.restores)):
        notes += [f"{word} {moved or 'the initial mask'}"] if moved is not None else []
    return plain("; ".join(notes))
