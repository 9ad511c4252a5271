"""A person as the policy: the run is interrupted and goes on with what the person says."""

from typing import Any

from langgraph.types import interrupt

from ibisagent.agent.actions import from_plain, format_action, to_plain, write_reply
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.tools.masks.rle import encode

__all__ = ["PersonPolicy"]


class PersonPolicy(SyncPolicy):
    """Interrupts with what there is to see; resume with an action as text or in its plain form.

    It needs a checkpointer: ``graph.invoke(Command(resume="Positive Point (0.41, 0.52)"), config)``.
    """

    name = "person"

    def act(self, observation: Observation) -> Completion:
        """Ask the person; text goes on as it is, so that what cannot be parsed is asked again."""
        said = interrupt(_question(observation))
        if isinstance(said, dict):
            said = write_reply("", from_plain(said), frame=observation.frame)
        return Completion(f"{said}\n", model=self.name)  # a person's line is whole, whatever it ends with


def _question(observation: Observation) -> dict[str, Any]:
    return {
        "ask": "action",
        "request": observation.request,
        "image": observation.image_sha,
        "mask": encode(observation.mask),
        "score": observation.score,
        "prompts": [to_plain(prompt) for prompt in observation.prompts],
        "undone": [format_action(action, observation.frame) for action in observation.undone],
        "feedback": observation.feedback,
        "expected": "an action such as 'Positive Point (0.41, 0.52)', 'Backtrack', 'Terminate' or 'Decline'",
    }
