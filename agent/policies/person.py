"""A person as the policy: the run is interrupted and resumes with the person's action."""

from typing import Any

from langgraph.types import interrupt

from ibisagent.agent.actions import format_action, from_plain, to_plain, write_reply
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.tools.masks.rle import encode

__all__ = ["PersonPolicy"]


class PersonPolicy(SyncPolicy):
    """Interrupts with the observation as plain values; resume with an action as text or in its plain form.

    It needs a checkpointer: ``graph.invoke(Command(resume="Positive Point (0.41, 0.52)"), config)``.
    """

    name = "person"
    is_person = True

    def act(self, observation: Observation) -> Completion:
        """Ask the person; text is the reply as it is, so that the person is asked again if it cannot be parsed."""
        answer = interrupt(_question(observation))
        if isinstance(answer, dict):
            answer = write_reply("", from_plain(answer), frame=observation.frame)
        return Completion(f"{answer}\n", model=self.name)  # a person's line is whole, whatever it ends with


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
