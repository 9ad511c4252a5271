"""Predicates on recorded steps: the policy's own, by action, and the prompts among them."""

from collections.abc import Iterator

from ibisagent.agent.actions import PROMPT_KINDS, as_prompt
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.clicks import Prompt

__all__ = ["TOOL_FAILURES", "has_action", "indexed_prompts", "is_policy_step"]

TOOL_FAILURES = ("segmenter_error", "store_error")
"""Stop reasons by a failure that the last action did not cause."""


def is_policy_step(step: Step) -> bool:
    """Whether a step is the policy's, and not of a guard, of a person beside the policy, or given with the request."""
    return step.origin == "reply"


def has_action(step: Step, *kinds: str) -> bool:
    """Whether a step did an action of one of these kinds; a failed step did none."""
    return step.outcome == "applied" and step.action is not None and step.action.get("type") in kinds


def indexed_prompts(record: Trajectory) -> Iterator[tuple[int, Prompt]]:
    """Yield every point, box and example that was made, with the index of its step; `InputError` for an invalid one."""
    for index, step in enumerate(record.steps):
        if has_action(step, *PROMPT_KINDS):
            yield index, as_prompt(step.action)
