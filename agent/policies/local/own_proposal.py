"""A policy that is content with the mask that its own drawing proposed."""

from dataclasses import dataclass
from typing import Any

from ibisagent.agent.actions import Terminate, write_reply
from ibisagent.agent.policies.abstention import parse_request
from ibisagent.agent.policies.base import Completion, Observation
from ibisagent.agent.policies.local.policy import LocalPolicy

__all__ = ["OwnProposalPolicy"]


@dataclass(frozen=True)
class OwnProposalPolicy:
    """Terminates where the mask is the model's own proposal, unchanged; asks the ``model`` everywhere else.

    Measured: clicks from such a start lower the mask's IoU, also those that the drawing itself supports
    (EXPERIMENTS.md). Once a person has clicked, or has undone the proposal, the model acts as ever.
    """

    model: LocalPolicy

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    def __getattr__(self, name: str) -> Any:
        """Return the model's other attributes, such as ``coordinates`` or ``actions``."""
        if name.startswith("_") or "model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.model, name)

    def act(self, observation: Observation) -> Completion:
        """Terminate, or ask the model."""
        return self._content(observation) or self.model.act(observation)

    async def aact(self, observation: Observation) -> Completion:
        """Do what `act` does without blocking the event loop."""
        return self._content(observation) or await self.model.aact(observation)

    def _content(self, observation: Observation) -> Completion | None:
        unchanged = observation.initial_mask_by == self.name and not observation.prompts and observation.mask.any()
        may_stop = observation.kind == "segment" and "terminate" in observation.actions and not observation.feedback
        if not (unchanged and may_stop):
            return None
        targets = self.model.targets
        known = parse_request(observation.request, targets).known if targets is not None else ()
        target = (known[0].target if known else None) or "target"
        text = write_reply(
            f"The mask fits the {target}.", Terminate(), f"The {target} is segmented.", observation.frame
        )
        return Completion(text, seconds=0.0, model=self.name)
