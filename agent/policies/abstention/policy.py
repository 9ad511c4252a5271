"""A policy that asks its model for learned targets, and declines the others."""

import re
from dataclasses import dataclass, replace
from typing import Any

from ibisagent.agent.actions import POLICY_KINDS, Decline, write_reply
from ibisagent.agent.policies.abstention.answer_names import (
    canonicalize_names,
    canonicalize_request,
    restore_names,
)
from ibisagent.agent.policies.abstention.known_targets import KnownTargets
from ibisagent.agent.policies.abstention.requested_target import ParsedRequest, TargetMention, parse_request
from ibisagent.agent.policies.base import Completion, Observation, Policy

__all__ = ["AbstainingPolicy"]

_LONGEST = 80  # characters of a name


@dataclass(frozen=True)
class AbstainingPolicy:
    """Asks ``model`` for learned targets and puts the user's words into its replies; declines whatever else is named.

    The model is asked by the learned name, also where the request has a synonym, a plural or a misspelling, and in a
    wording that it learned. Where the loop does not allow `Decline`, the model is asked for everything.
    """

    model: Policy
    targets: KnownTargets

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def actions(self) -> tuple[str, ...]:
        """The model's kinds of action, and `Decline`."""
        offered = getattr(self.model, "actions", POLICY_KINDS)
        return tuple(kind for kind in POLICY_KINDS if kind in offered or kind == "decline")

    def __getattr__(self, name: str) -> Any:
        """Return the model's other attributes, such as ``coordinates`` or ``reply_timeout``."""
        if name.startswith("_") or "model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.model, name)

    def act(self, observation: Observation) -> Completion:
        """Decline, or ask the model."""
        parsed = parse_request(observation.request, self.targets)
        if (declined := self._decline(observation, parsed)) is not None:
            return declined
        return self._restore_names(self.model.act(self._canonicalize(observation, parsed)), observation, parsed)

    async def aact(self, observation: Observation) -> Completion:
        """Do what `act` does without blocking the event loop."""
        parsed = parse_request(observation.request, self.targets)
        if (declined := self._decline(observation, parsed)) is not None:
            return declined
        return self._restore_names(await self.model.aact(self._canonicalize(observation, parsed)), observation, parsed)

    def _decline(self, observation: Observation, parsed: ParsedRequest) -> Completion | None:
        if parsed.unknown is None or "decline" not in observation.actions:
            return None
        named = _words(observation.request, parsed.unknown)
        answer = f'I never learned "{named}" and cannot tell whether it is there. I know: {self.targets.listing}.'
        text = write_reply("I do not know what I am asked for.", Decline(), answer, observation.frame)
        return Completion(text, seconds=0.0, model=self.name)

    def _canonicalize(self, observation: Observation, parsed: ParsedRequest) -> Observation:
        canonicalize = canonicalize_names if observation.kind == "question" else canonicalize_request
        return replace(observation, request=canonicalize(observation.request, parsed))

    def _restore_names(self, completion: Completion, observation: Observation, parsed: ParsedRequest) -> Completion:
        if parsed.unknown is not None:  # declining was not allowed
            parsed = ParsedRequest(known=(parsed.unknown,))
        text = restore_names(completion.text, observation.request, parsed, self.targets)
        for found in parsed.other_unknown:
            named = re.sub(r"[<>]", "", _words(observation.request, found))
            text = text.replace("</answer>", f' I never learned "{named}".</answer>')
        return replace(completion, text=text)


def _words(request: str, found: TargetMention) -> str:
    named = " ".join(request[found.start : found.end].split())[:_LONGEST]
    return f"{named})" if named.count("(") > named.count(")") else named
