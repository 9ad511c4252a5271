"""The prompts of a language model: a data file of templates, filled from an observation."""

import os
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.actions import KINDS, OPTIONAL, POLICY_KINDS, format_action
from ibisagent.agent.coordinates import PROFILES
from ibisagent.agent.policies.base import Observation
from ibisagent.tools.errors import InputError

__all__ = ["Message", "PromptSet", "load_prompts"]

_TEXTS = ("system", "first", "refine", "question", "undone", "feedback")
_LEFT_OUT = "(A view that is not shown again.)"


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message of the conversation: text of the ``role`` system, user or assistant, after a picture if there is one.

    ``picture``: (h, w, 3) uint8.
    """

    role: str
    text: str = ""
    picture: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Templates by name; ``actions`` and ``coordinates`` hold one line for each kind and each profile."""

    texts: dict[str, str]
    actions: dict[str, str]
    coordinates: dict[str, str]

    def conversation(self, observation: Observation) -> list[Message]:
        """Return all messages of an observation, in order; a loop, a training sample and a server use the same."""
        system = self.system(observation)
        messages = [Message("system", system)] if system else []
        for turn in observation.turns:
            words = self.texts.get("left_out", _LEFT_OUT).strip() if turn.picture is None else ""
            messages += [Message("user", words, turn.picture), Message("assistant", turn.reply)]
        return [*messages, Message("user", self.user(observation), observation.picture)]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of action that there is a text for."""
        return tuple(kind for kind in POLICY_KINDS if kind in self.actions)

    def system(self, observation: Observation) -> str:
        """Write the system message: the task, the actions allowed, how coordinates are written."""
        frame = observation.frame
        where = Template(self.coordinates[frame.profile]).safe_substitute(width=frame.width, height=frame.height)
        offered = [self.actions[kind] for kind in observation.actions if kind in self.actions]
        kinds = [line for words in offered for line in words.splitlines() if line]
        allowed = "\n".join([*(f"- {line}" for line in kinds), where])
        return Template(self.texts["system"]).safe_substitute(actions=allowed).strip()

    def user(self, observation: Observation) -> str:
        """Write the message beside the picture: the request, what was undone on this mask, the last error."""
        prompts = observation.prompts
        text = (
            Template(self.texts[_template_name(observation)])
            .safe_substitute(
                request=observation.request,
                count=len(prompts),
                last=format_action(prompts[-1], observation.frame) if prompts else "none",
                clicks="; ".join(format_action(prompt, observation.frame) for prompt in prompts) or "none",
            )
            .strip()
        )
        if observation.undone:
            undone = "; ".join(format_action(action, observation.frame) for action in observation.undone)
            text += "\n" + Template(self.texts["undone"]).safe_substitute(undone=undone).strip()
        if observation.feedback:
            text += "\n" + Template(self.texts["feedback"]).safe_substitute(feedback=observation.feedback).strip()
        return text


def _template_name(observation: Observation) -> str:
    if observation.kind == "question":
        return "question"
    return "refine" if observation.prompts or observation.has_initial_mask else "first"


def load_prompts(path: str | os.PathLike[str] | None = None) -> PromptSet:
    """Read a prompt file (TOML), by default the package's own; `InputError` names what is missing from it."""
    name = "the default prompts" if path is None else Path(path).name
    try:
        text = _read_default() if path is None else Path(path).read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{name}: not a readable TOML file ({str(error).splitlines()[0]})") from error
    actions, coordinates = _read_table(data, "actions"), _read_table(data, "coordinates")
    missing = [key for key in _TEXTS if not isinstance(data.get(key), str)]
    missing += [f"actions.{kind}" for kind in KINDS if kind not in (*actions, *OPTIONAL)]
    missing += [f"coordinates.{profile}" for profile in PROFILES if profile not in coordinates]
    if missing:
        raise InputError(f"{name}: no text for {', '.join(missing)}; see agent/prompts/default.toml for every key")
    texts = {key: data[key] for key in (*_TEXTS, "left_out") if isinstance(data.get(key), str)}
    return PromptSet(texts, actions, coordinates)


def _read_default() -> str:
    return files("ibisagent.agent").joinpath("prompts/default.toml").read_text(encoding="utf-8")


def _read_table(data: dict[str, Any], name: str) -> dict[str, str]:
    table = data.get(name)
    return {key: str(value) for key, value in table.items()} if isinstance(table, dict) else {}
