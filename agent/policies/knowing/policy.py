"""A policy over a model that declines what the model never learned."""

import re
from dataclasses import dataclass, replace
from typing import Any

from ibisagent.agent.actions import KINDS, Decline, write_reply
from ibisagent.agent.policies.base import Completion, Observation, Policy
from ibisagent.agent.policies.knowing.asking import Asked, Found, understand
from ibisagent.agent.policies.knowing.renaming import heard, renamed
from ibisagent.agent.policies.knowing.targets import Targets

__all__ = ["KnowingPolicy"]

_LONGEST = 80  # characters of a name


@dataclass(frozen=True)
class KnowingPolicy:
    """Asks ``model`` for what it learned and tells its replies in the asker's words; declines whatever else is named.

    The model is asked by the name that it learned, also where the request has another, its plural or a slip of the
    hand. Where the loop does not allow `Decline`, the model is asked for everything.
    """

    model: Policy
    targets: Targets

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def actions(self) -> tuple[str, ...]:
        """What the model is offered, and `Decline`."""
        offered = getattr(self.model, "actions", KINDS)
        return tuple(kind for kind in KINDS if kind in offered or kind == "decline")

    def __getattr__(self, name: str) -> Any:
        """Give what else a loop reads of a policy, ``coordinates`` or ``seconds``, as the model has it."""
        if name.startswith("_") or "model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.model, name)

    def act(self, observation: Observation) -> Completion:
        """Decline, or ask the model."""
        asked = understand(observation.request, self.targets)
        if (declined := self._declined(observation, asked)) is not None:
            return declined
        return self._told(self.model.act(self._shown(observation, asked)), observation, asked)

    async def aact(self, observation: Observation) -> Completion:
        """Do what `act` does without blocking the event loop."""
        asked = understand(observation.request, self.targets)
        if (declined := self._declined(observation, asked)) is not None:
            return declined
        return self._told(await self.model.aact(self._shown(observation, asked)), observation, asked)

    def _declined(self, observation: Observation, asked: Asked) -> Completion | None:
        if asked.unknown is None or "decline" not in observation.actions:
            return None
        named = _words(observation.request, asked.unknown)
        answer = f'I never learned "{named}" and cannot tell whether it is there. I know: {self.targets.told}.'
        text = write_reply("I do not know what I am asked for.", Decline(), answer, observation.frame)
        return Completion(text, seconds=0.0, model=self.name)

    def _shown(self, observation: Observation, asked: Asked) -> Observation:
        return replace(observation, request=heard(observation.request, asked))

    def _told(self, completion: Completion, observation: Observation, asked: Asked) -> Completion:
        if asked.unknown is not None:  # declining was not allowed
            asked = Asked(known=(asked.unknown,))
        text = renamed(completion.text, observation.request, asked, self.targets)
        for found in asked.besides:
            named = re.sub(r"[<>]", "", _words(observation.request, found))
            text = text.replace("</answer>", f' I never learned "{named}".</answer>')
        return replace(completion, text=text)


def _words(request: str, found: Found) -> str:
    named = " ".join(request[found.start : found.end].split())[:_LONGEST]
    return f"{named})" if named.count("(") > named.count(")") else named
