"""An expert whose rationales a chat model writes, from the observation, the truth and the right action."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from numpy.typing import NDArray

from ibisagent.agent.actions import TAG, format_action, write_reply
from ibisagent.agent.overlay import GREEN
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.policies.chat import image_block
from ibisagent.evals.contact_sheets.tiles import FALSE_NEGATIVE, FALSE_POSITIVE
from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.experts.expert import Decision, ExpertPolicy
from ibisagent.training.experts.rationales import write_answer

__all__ = ["LLMRationaleExpert", "oracle_view"]

_OPACITY = 0.6
_MAX_CHARACTERS = 600  # characters of a thought
_LEAK = re.compile(
    r"\b(yellow|purple|second|picture 2|both pictures|truth|oracle|true mask|false (positive|negative)|[0-9]+\.[0-9]+)",
    re.IGNORECASE,
)


class LLMRationaleExpert(SyncPolicy):
    """Decides as an expert does; the thought is the chat model's, or the expert's own where that one fails.

    It fails by an exception, an empty or too long reply, or one about what the policy cannot see. ``fallbacks`` counts
    the failures; such a reply is of the model "expert".
    """

    def __init__(self, expert: ExpertPolicy, model: BaseChatModel, name: str = "llm_rationale_expert") -> None:
        """Take the expert, and the chat model with a name for it."""
        self.expert, self._model, self.name = expert, model, name
        self.truth, self.target, self.config = expert.truth, expert.target, expert.config
        self.fallbacks = 0

    def decide(self, observation: Observation) -> Decision:
        """Decide as the expert does."""
        return self.expert.decide(observation)

    def act(self, observation: Observation) -> Completion:
        """Reply with the expert's action and the model's thought."""
        decision, plain = self.decide(observation), self.expert.act(observation)
        thought = self._generate_thought(observation, decision)
        if thought is None:
            self.fallbacks += 1
            return plain
        rng = np.random.default_rng([len(thought), observation.step])
        written_answer = write_answer(decision.kind, self.target, self.config.style, rng)
        return Completion(write_reply(thought, decision.action, written_answer, observation.frame), model=self.name)

    def _generate_thought(self, observation: Observation, decision: Decision) -> str | None:
        try:
            text = str(self._model.invoke(self.messages(observation, decision)).text)
        except Exception:  # whatever a provider's client raises
            return None
        thought = " ".join(TAG.sub(" ", text).split())
        return thought if 0 < len(thought) <= _MAX_CHARACTERS and not _LEAK.search(thought) else None

    def messages(self, observation: Observation, decision: Decision) -> list[BaseMessage]:
        """Return the chat model's messages: the policy's picture, the oracle view, and the action."""
        words = _read_prompt()
        undone = "; ".join(format_action(action, observation.frame) for action in observation.undone)
        text = Template(words["user"]).substitute(
            request=observation.request,
            target=self.target,
            action=format_action(decision.action, observation.frame),
            undone=Template(words["undone"]).substitute(actions=undone) if undone else "",
        )
        shown: list[str | dict[Any, Any]] = [
            {"type": "text", "text": "Picture 1:"},
            image_block(observation.picture),
            {"type": "text", "text": "Picture 2:"},
            image_block(oracle_view(observation, self.truth)),
            {"type": "text", "text": text.strip()},
        ]
        return [SystemMessage(words["system"].strip()), HumanMessage(content=shown)]


def oracle_view(observation: Observation, truth: Mask) -> NDArray[np.uint8]:
    """Draw on the policy's picture what the mask has right, misses and spills over, coloured as in the step sheets."""
    height, width = observation.picture.shape[:2]
    at = np.ix_(np.arange(height) * truth.shape[0] // height, np.arange(width) * truth.shape[1] // width)
    truth, mask = truth[at], observation.mask[at]
    drawn = observation.picture.astype(np.float32)
    for region, colour in ((truth & mask, GREEN), (truth & ~mask, FALSE_NEGATIVE), (mask & ~truth, FALSE_POSITIVE)):
        drawn[region] = (1 - _OPACITY) * drawn[region] + _OPACITY * np.array(colour, np.float32)
    return drawn.round().astype(np.uint8)


@cache
def _read_prompt() -> dict[str, str]:
    text = files("ibisagent.training.experts").joinpath("rationale_prompt.toml").read_text(encoding="utf-8")
    return {key: str(value) for key, value in tomllib.loads(text).items()}
