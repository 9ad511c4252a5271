"""Whose a recorded step is and what it does, and the tools whose failure is nobody's action."""

from collections.abc import Iterator

from ibisagent.agent.components import as_prompt
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.clicks import Prompt

__all__ = ["TOOL_FAILURES", "has_action", "is_policy_step", "indexed_prompts"]

TOOL_FAILURES = ("segmenter_error", "store_error")
"""Stops for which the last action is not to blame."""


def is_policy_step(step: Step) -> bool:
    """Tell whether a step is the policy's: a guard's and a person's beside it carry no reply."""
    return step.reply is not None


def has_action(step: Step, *kinds: str) -> bool:
    """Tell whether a step did an action of one of these kinds; one that failed did nothing."""
    return step.error is None and step.action is not None and step.action.get("type") in kinds


def indexed_prompts(record: Trajectory) -> Iterator[tuple[int, Prompt]]:
    """Give every point and box that was made, with the index of its step; `InputError` for one that is none."""
    for index, step in enumerate(record.steps):
        if has_action(step, "point", "box"):
            yield index, as_prompt(step.action)
